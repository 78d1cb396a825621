"""The files of ILSVRC's tasks 1 and 2: predictions, ground truth, names of synsets, images that do not count."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from caffepy.data.list_file import list_lines
from caffepy.errors import DataError, reason
from caffepy.evaluation.annotations import Box, LabelledBox, annotation_files, read_annotation

__all__ = ["MOST_GUESSES", "read_blacklist", "read_predictions", "read_synsets", "read_truth"]

#: Guesses for an image.
MOST_GUESSES = 5
_SYNSET = re.compile(r"n\d{8}\Z", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}\Z", re.ASCII)
# Objects of an image in a line of text.
_MOST_OBJECTS = 10_000

Synsets = Mapping[int, str]


def _lines(path: str, what: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each line, with its number; empty lines at the end are none."""
    empty = 0
    try:
        for number, line in enumerate(list_lines(path, "utf-8-sig"), 1):
            # Commas are as good as blanks.
            words = line.replace(",", " ").split()
            if not words:
                empty = empty or number
                continue
            if empty:
                raise DataError(f"{path}:{empty}: an empty line between others. Each image has a line of {what}.")
            yield number, words
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the {what} '{path}': {reason(error)} ({Path(path).absolute()}).") from error


def read_predictions(
    path: str | os.PathLike[str], task: int, synsets: Synsets | None = None
) -> list[list[LabelledBox]]:
    """A list for each line, an image, of at most five guesses, the best first.

    Task 1: ``label label ...``. Task 2: ``label xmin ymin xmax ymax label xmin ...``. A label is a number or a synset
    (n01440764).

    Args:
        path: the file.
        task: 1 or 2.
        synsets: what numbers mean, where the ground truth says synsets.

    Raises:
        DataError: no such file, none in it, a line of something else or of more than five; names the line.
    """
    text = os.fspath(path)
    found = []
    for number, words in _lines(text, "predictions"):
        guesses = _objects(words, task == 2, f"{text}:{number}", synsets)
        if len(guesses) > MOST_GUESSES:
            raise DataError(f"{text}:{number}: {len(guesses)} labels; an image has at most {MOST_GUESSES}.")
        found.append(guesses)
    if not found:
        raise DataError(f"'{text}' holds no predictions: expected a line for each image.")
    return found


def read_truth(path: str | os.PathLike[str], task: int) -> tuple[list[list[LabelledBox]], list[str]]:
    """The objects of each image, and what messages call it.

    Either a folder of ILSVRC's XML annotations, one for each image, in the order of their names. Or a text, a line an
    image: for task 1 its label, after a name or not, as in Caffe's val.txt; for task 2 ``label xmin ymin xmax ymax``,
    repeated for each object.

    Raises:
        DataError: no such file or folder, something else in it; for task 2 an image without a box.
    """
    text = os.fspath(path)
    if os.path.isdir(text):
        files = annotation_files(text)
        truth, names = [read_annotation(file) for file in files], [str(file) for file in files]
    else:
        truth, names = [], []
        for number, words in _lines(text, "ground truth"):
            where = f"{text}:{number}"
            if task == 1:
                words = words[-1:] if len(words) == 2 else words
                if len(words) != 1:
                    raise DataError(f"{where}: expected a label, or 'name label'; got {len(words)} words.")
            truth.append(_objects(words, task == 2, where, None))
            names.append(where)
    if not truth:
        raise DataError(f"'{text}' holds no ground truth: expected a line for each image.")
    for objects, name in zip(truth, names, strict=True):
        if not objects:
            raise DataError(f"{name}: no object: the class of its image is not known.")
        if task == 2 and any(one.box is None for one in objects):
            raise DataError(f"{name}: an object without a box. Task 2 needs boxes; --task 1 does without.")
    return truth, names


def _objects(words: list[str], boxes: bool, where: str, synsets: Synsets | None) -> list[LabelledBox]:
    if not boxes:
        return [LabelledBox(_label(word, where, synsets), None) for word in words]
    if len(words) % 5 or len(words) > 5 * _MOST_OBJECTS:
        raise DataError(
            f"{where}: {len(words)} words; expected 'label xmin ymin xmax ymax' once or several times. For labels "
            "without boxes give --task 1."
        )
    found = []
    for begin in range(0, len(words), 5):
        try:
            box = Box(*(float(word) for word in words[begin + 1 : begin + 5]))
        except ValueError:
            raise DataError(
                f"{where}: '{' '.join(words[begin : begin + 5])[:200]}': coordinates must be numbers."
            ) from None
        if wrong := box.check():
            raise DataError(f"{where}: box {begin // 5 + 1}: {wrong}.")
        found.append(LabelledBox(_label(words[begin], where, synsets), box))
    return found


def _label(word: str, where: str, synsets: Synsets | None) -> str:
    if _SYNSET.match(word):
        return word
    if not _NUMBER.match(word):
        raise DataError(f"{where}: '{word[:80]}' is no label: expected a number or a synset (n01440764).")
    # Of 7 and 007 one.
    number = int(word)
    if synsets is None:
        return str(number)
    if number not in synsets:
        raise DataError(f"{where}: label {number} is not among the synsets, {min(synsets)} to {max(synsets)}.")
    return synsets[number]


def read_synsets(path: str | os.PathLike[str]) -> dict[int, str]:
    """What each label's synset is.

    Lines ``n02119789 1 kit_fox``, as in ILSVRC's map_clsloc.txt, say the number. Of others, as in Caffe's
    synset_words.txt (``n01440764 tench, Tinca tinca``) and synsets.txt, line 1 is label 0.

    Raises:
        DataError: no such file, a line without a synset, a number twice.
    """
    text = os.fspath(path)
    lines = list(_lines(text, "synsets"))
    if not lines:
        raise DataError(f"'{text}' holds no synsets.")
    numbered = all(len(words) >= 2 and _NUMBER.match(words[1]) for _, words in lines)
    found: dict[int, str] = {}
    for place, (number, words) in enumerate(lines):
        if not _SYNSET.match(words[0]):
            raise DataError(f"{text}:{number}: expected a synset, such as n01440764, first; got '{words[0][:80]}'.")
        label = int(words[1]) if numbered else place
        if label in found:
            raise DataError(f"{text}:{number}: label {label} a second time.")
        found[label] = words[0]
    return found


def read_blacklist(path: str | os.PathLike[str], images: int) -> set[int]:
    """Images that do not count, by line: ILSVRC's list of numbers from 1, here from 0.

    Raises:
        DataError: no such file, something else than a number of one of ``images`` images in a line.
    """
    text = os.fspath(path)
    found = set()
    for number, words in _lines(text, "images that do not count"):
        if len(words) != 1 or not _NUMBER.match(words[0]) or not 1 <= int(words[0]) <= images:
            raise DataError(
                f"{text}:{number}: expected the number of an image, 1 to {images}; got '{' '.join(words)[:80]}'."
            )
        found.add(int(words[0]) - 1)
    return found
