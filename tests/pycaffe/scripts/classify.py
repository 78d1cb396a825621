"""Classify a picture: deploy.prototxt, weights, a Transformer, the five best, then ten crops averaged."""

import json
import sys

import caffe
import numpy as np

model_def, model_weights, mean_file, image_file = sys.argv[1:5]

caffe.set_mode_cpu()
net = caffe.Net(model_def, caffe.TEST, weights=model_weights)

mu = np.load(mean_file).mean(1).mean(1)
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_mean("data", mu)
transformer.set_raw_scale("data", 255)
transformer.set_channel_swap("data", (2, 1, 0))

net.blobs["data"].reshape(1, 3, net.blobs["data"].height, net.blobs["data"].width)
image = caffe.io.load_image(image_file)
net.blobs["data"].data[...] = transformer.preprocess("data", image)
output = net.forward()
output_prob = output["prob"][0]
top_inds = output_prob.argsort()[::-1][:5]

classifier = caffe.Classifier(
    model_def, model_weights, image_dims=(24, 24), mean=mu, raw_scale=255, channel_swap=(2, 1, 0)
)
print(
    json.dumps(
        {
            "shapes": {name: list(blob.data.shape) for name, blob in net.blobs.items()},
            "weights": {name: [list(blob.data.shape) for blob in blobs] for name, blobs in net.params.items()},
            "input": transformer.deprocess("data", net.blobs["data"].data[0]).tolist(),
            "prob": output_prob.tolist(),
            "top": top_inds.tolist(),
            "ten": classifier.predict([image, image[:, ::-1]]).tolist(),
            "centre": classifier.predict([image], oversample=False).tolist(),
        }
    )
)
