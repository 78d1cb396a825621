"""Images that a list file names, read from their files."""

from __future__ import annotations

import os
import stat

from caffepy.data.datum import MAX_PIXELS, Image, decode_image
from caffepy.data.image_list import Entry, image_path
from caffepy.data.images import Images
from caffepy.data.resize import resize
from caffepy.errors import DataError, reason

__all__ = ["ImageFiles", "read_image_file"]

# Larger than any image of as many pixels as are decoded.
_MAX_BYTES = 1 << 30


class ImageFiles(Images):
    """The images of a list, decoded and resized as Caffe's ReadImageToCVMat does.

    Args:
        entries: names and labels; at least one.
        root: folder that the names begin at; as in Caffe it may also be just the beginning of their paths.
        path: of the list, for messages.
        new_height: rows to resize to; 0 and 0 leave images as they are.
        new_width: columns to resize to.
        is_color: three channels, or one.

    Raises:
        DataError: a size of more pixels than are read.
    """

    def __init__(
        self,
        entries: list[Entry],
        root: str,
        path: str,
        *,
        new_height: int = 0,
        new_width: int = 0,
        is_color: bool = True,
    ) -> None:
        if new_height * new_width > MAX_PIXELS:
            raise DataError(
                f"new_height {new_height} x new_width {new_width} exceed the {MAX_PIXELS:,} pixels of an image."
            )
        self.path = path
        self._entries = entries
        self._root = root
        self._size = (new_height, new_width)
        self._is_color = is_color

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, number: int) -> tuple[str, Image]:
        entry = self._entries[number]
        path, data = read_image_file(self._root, entry.name, " Check root_folder and the list.")
        array = decode_image(data, f"image '{path}'", color="color" if self._is_color else "gray")
        if self._size[0]:
            array = resize(array, *self._size)
        return f"image '{path}'", Image(array, entry.label, True)

    def name(self, number: int) -> str:
        # Bytes that are no text must not keep it from being written.
        return self._entries[number].name.encode("utf-8", "backslashreplace").decode()


def read_image_file(root: str, name: str, hint: str = "") -> tuple[str, bytes]:
    """The path and the bytes of the image ``name`` below ``root``.

    Caffe puts the two texts together without a slash between: where that names a file, it is the one that is read.
    ``hint``, with a blank before it, says what to do where there is none.

    Raises:
        DataError: no such file, no ordinary file, or too large a one.
    """
    path = root + name
    if not os.path.isfile(path):
        path = image_path(root, name)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"Could not open or find file {path}: it is a folder or a device, no file.")
            if status.st_size > _MAX_BYTES:
                raise DataError(f"image '{path}' has {status.st_size:,} bytes; at most {_MAX_BYTES:,} are read.")
            # Not more than there is: room for all that is asked for is taken first.
            return path, file.read(status.st_size)
    except MemoryError:
        raise DataError(f"image '{path}': out of memory: the file has {os.path.getsize(path):,} bytes.") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"Could not open or find file {path}: {reason(error)} (working directory '{os.getcwd()}').{hint}"
        ) from error


def _without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would be waited for.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
