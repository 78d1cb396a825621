"""Databases of images and labels, and batches made of them."""
