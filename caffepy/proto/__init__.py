"""Caffe's messages: the schema (caffe_pb2), prototxts with their lines (text, lines), files, old formats (upgrade)."""
