"""A line learned from a Python data layer with a Python loss layer."""

import json
import tempfile

import caffe

NET = """
name: "line" force_backward: true
layer { name: "line" type: "Python" top: "x" top: "y"
  python_param { module: "script_layers" layer: "LineDataLayer" param_str: '{"batch_size": 16, "seed": 3}' } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Python" bottom: "ip" bottom: "y" top: "loss" loss_weight: 1
  python_param { module: "script_layers" layer: "EuclideanLossLayer" } }
"""


def solver_file():
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", delete=False) as net:
        net.write(NET)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", delete=False) as f:
        f.write("net: '%s' base_lr: 0.3 momentum: 0.9 lr_policy: 'fixed' random_seed: 2 max_iter: 60\n" % net.name)
    return f.name


caffe.set_mode_cpu()
caffe.set_random_seed(1)
solver = caffe.NesterovSolver(solver_file())
losses = []
while solver.iter < 60:
    solver.step(10)
    losses.append(float(solver.net.blobs["loss"].data[0]))
w, b = (blob.data.flat[0] for blob in solver.net.params["ip"])
print(
    json.dumps(
        {"losses": losses, "w": float(w), "b": float(b), "gradient": float(abs(solver.net.blobs["x"].diff).sum())}
    )
)
