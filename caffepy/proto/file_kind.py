"""What a file is, told from its first bytes, whatever its name says."""

from __future__ import annotations

import os

__all__ = ["HEAD", "file_kind", "is_hdf5", "is_zip", "looks_like_text"]

HEAD = 4096
"""How many bytes of a file `file_kind` wants to see."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Of an archive, and of one without files.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "compressed with gzip: run gunzip on it first"),
    (_ZIP[0], "a zip archive: unpack it first (PyTorch's .pt files are zip archives too)"),
    (b"BZh", "compressed with bzip2: run bunzip2 on it first"),
    (b"\xfd7zXZ\x00", "compressed with xz: run unxz on it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive: unpack it first"),
    (b"Rar!", "a rar archive: unpack it first"),
    (b"(\xb5/\xfd", "compressed with zstd: run unzstd on it first"),
    (_HDF5, "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull where it came from"),
)
_LMDB = b"\xde\xc0\xef\xbe"
_WHITE = frozenset(b"\t\n\v\f\r")


def file_kind(head: bytes) -> str:
    """What the file is if it is surely none of Caffe's, with what to do about it; else the empty string."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[16:20] == _LMDB:
        return "an LMDB database"
    start = head[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "an HTML page: the download gave a web page instead of the file; download it again"
    if not head.strip(b"\0"):
        return "all zeros: a download or a copy that was cut off"
    return ""


def looks_like_text(head: bytes) -> bool:
    """True if there are no control characters; the binary form of any message of Caffe's has some at its start."""
    return all(byte >= 32 or byte in _WHITE for byte in head[:HEAD]) and b"\x7f" not in head[:HEAD]


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is an HDF5 file; not where it cannot be read."""
    return _begins(path, _HDF5)


def is_zip(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a zip archive, as .npz files are; not where it cannot be read."""
    return _begins(path, *_ZIP)


def _begins(path: str | os.PathLike[str], *magic: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(magic)
    # A name that no file can have is a ValueError.
    except (OSError, ValueError):
        return False
