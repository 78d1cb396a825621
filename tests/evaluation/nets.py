"""Nets and images that tests of evaluation use."""

from __future__ import annotations

import numpy as np
from PIL import Image

# The mean of each channel, blue first, is the output: what the net was given can be read off.
MEANS = """
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "mean" top: "flat" }
"""
# All pixels are the output.
PIXELS = 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }\n'


def image_data(source, *, transform="", new=(0, 0), batch=4, color="true"):
    """An ImageData layer of the TEST phase."""
    return (
        f'layer {{ name: "images" type: "ImageData" top: "data" top: "label" include {{ phase: TEST }} '
        f'transform_param {{ {transform} }} image_data_param {{ source: "{source}" batch_size: {batch} '
        f"new_height: {new[0]} new_width: {new[1]} is_color: {color} }} }}\n"
    )


def save_images(folder, sizes, *, seed=0, mode="RGB"):
    """PNG files of noise of the sizes (height, width); gives their paths and pixels (H, W, C)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names, pixels = [], []
    for i, (height, width) in enumerate(sizes):
        values = rng.integers(0, 256, (height, width, 3) if mode == "RGB" else (height, width), np.uint8)
        names.append(str(folder / f"{i:02}.png"))
        Image.fromarray(values).save(names[-1])
        pixels.append(values)
    return names, pixels
