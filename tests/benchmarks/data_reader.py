"""What the Data layer delivers, against what its decoder does alone in as many threads, on the same JPEG records.

    python tests/benchmarks/data_reader.py [FOLDER] [--threads 1 2] [--rounds 15] [--records 1500]

FOLDER holds JPEG files; by default ``shared/data/photos`` beside the checkout. The layer reads, decodes, crops,
mirrors, subtracts the mean and fills its top, with AlexNet's settings; the decoder only decodes, in as many threads.
Both are measured in one run, in turns; printed are medians over the rounds, and the median of the ratios. Target: at
least 0.80.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from caffepy.data.convert import ConversionSettings, convert_images  # noqa: E402
from caffepy.data.datum import decode  # noqa: E402
from caffepy.data.image_list import Entry  # noqa: E402
from caffepy.data.options import DataOptions  # noqa: E402
from caffepy.data.source import Source, open_source  # noqa: E402
from caffepy.devices import get_backend  # noqa: E402
from caffepy.net import Net  # noqa: E402
from caffepy.proto import caffe_pb2  # noqa: E402

BATCH = 64
CROP = 227


def decode_alone(source: Source, threads: int, records: int) -> float:
    """Images a second of the bare decoder: no reading, no transform, no batches."""
    values = [source.read(i) for i in range(len(source))]
    left = iter(range(records))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            key, value = values[number % len(values)]
            decode(value, key)

    pool = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return records / (time.perf_counter() - began)


def run_layer(source: Source, threads: int, records: int) -> float:
    """Images a second of the layer, once its batches are all in use."""
    layer = caffe_pb2.LayerParameter(name="data", type="Data", top=["data", "label"])
    layer.data_param.source, layer.data_param.batch_size = source.path, BATCH
    layer.data_param.backend = caffe_pb2.DataParameter.LMDB
    layer.transform_param.CopyFrom(
        caffe_pb2.TransformationParameter(crop_size=CROP, mirror=True, mean_value=[104, 117, 123])
    )
    backend = get_backend("cpu", threads=threads)
    with Net(caffe_pb2.NetParameter(layer=[layer]), caffe_pb2.TRAIN, backend, data=DataOptions(threads=threads)) as net:
        batches = max(1, records // BATCH)
        for _ in range(6):
            net.forward()
        began = time.perf_counter()
        for _ in range(batches):
            net.forward()
        return batches * BATCH / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=ROOT.parent / "shared" / "data" / "photos", type=Path)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=1500)
    options = parser.parse_args()
    names = sorted(file.name for file in options.folder.glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "photos_lmdb"
        convert_images([Entry(name, 0) for name in names], options.folder, database, ConversionSettings(encoded=True))
        source = open_source(database)
        print(f"{len(source)} JPEG records of {options.folder}, batches of {BATCH}, crop {CROP}")
        for threads in options.threads:
            alone, reading = [], []
            for _ in range(options.rounds):
                alone.append(decode_alone(source, threads, options.records))
                reading.append(run_layer(source, threads, options.records))
            ratios = [ours / best for ours, best in zip(reading, alone, strict=True)]
            print(
                f"threads {threads}: decoder alone {statistics.median(alone):.0f} images/s, "
                f"layer {statistics.median(reading):.0f} images/s, ratio {statistics.median(ratios):.2f}"
            )
        source.close()


if __name__ == "__main__":
    main()
