"""Features of all records of a database into another one, as Datums, and read again."""

import json
import sys

import caffe
import lmdb
import numpy as np
from caffe.proto import caffe_pb2

deploy, weights, source = sys.argv[1:4]
net = caffe.Net(deploy, caffe.TEST, weights=weights)
net.blobs["data"].reshape(60, 1, 28, 28)

images, labels = [], []
with lmdb.open(source, readonly=True, lock=False) as env, env.begin() as txn:
    for _key, value in txn.cursor():
        datum = caffe_pb2.Datum()
        datum.ParseFromString(value)
        images.append(caffe.io.datum_to_array(datum) / 255.0)
        labels.append(datum.label)

out = net.forward_all(blobs=["ip1", "pool2"], data=np.array(images))
with lmdb.open("features_lmdb", map_size=1 << 30) as env, env.begin(write=True) as txn:
    for i, (row, label) in enumerate(zip(out["ip1"], labels)):
        datum = caffe.io.array_to_datum(row.astype(float)[:, np.newaxis, np.newaxis], label)
        txn.put(("%010d" % i).encode(), datum.SerializeToString())

back = []
with lmdb.open("features_lmdb", readonly=True, lock=False) as env, env.begin() as txn:
    for _key, value in txn.cursor():
        back.append(caffe.io.datum_to_array(caffe_pb2.Datum.FromString(value)))
blob = caffe.io.array_to_blobproto(out["pool2"][:3])
with open("pool2.binaryproto", "wb") as f:
    f.write(blob.SerializeToString())
blob = caffe_pb2.BlobProto()
with open("pool2.binaryproto", "rb") as f:
    blob.ParseFromString(f.read())
print(
    json.dumps(
        {
            "count": len(back),
            "shape": list(back[0].shape),
            "same": bool((np.array(back)[:, :, 0, 0] == out["ip1"]).all()),
            "pool2": bool((caffe.io.blobproto_to_array(blob) == out["pool2"][:3]).all()),
            "accuracy": float((out["prob"].argmax(1) == np.array(labels)).mean()),
            "sum": float(out["ip1"].sum()),
        }
    )
)
