"""How data layers read, beyond what a prototxt can say: command-line options, not fields."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DataOptions"]


@dataclass(frozen=True)
class DataOptions:
    """Settings of all data layers of a net.

    Attributes:
        threads: threads that decode and transform records; all cores where 0.
        shuffle: visit the records of a TRAIN database in another order each epoch (Caffe reads them in key order).
        colour_noise: standard deviation of AlexNet's colour noise in the TRAIN phase (0.1 in the paper; 0 is off).
        colour_pca: file of the principal components that the noise goes along; computed from the database where "".
        max_bad_records: records that cannot be decoded are replaced by the next good one up to this many; then stop.
    """

    threads: int = 0
    shuffle: bool = False
    colour_noise: float = 0.0
    colour_pca: str = ""
    max_bad_records: int = 0
