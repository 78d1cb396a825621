"""Errors as ILSVRC counts them (Russakovsky et al. 2015, section 4): classification, and with localisation.

Task 1: an image is right if one of at most five labels is its class. Task 2: if one of at most five labels with a box
is its class, and the box overlaps with a box of an object of this class by half or more of both together.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from caffepy.errors import DataError
from caffepy.evaluation.annotations import Box, LabelledBox

__all__ = ["Outcome", "Result", "evaluate", "overlap"]

#: Of intersection over union, from which on a box is right.
_RIGHT = 0.5

Objects = Sequence[LabelledBox]


@dataclass(frozen=True)
class Outcome:
    """The place of the first right guess, from 1; 0 where none is.

    Attributes:
        image: from 0.
        label: the place of the first right label.
        box: of the first right label with a right box; None in task 1.
    """

    image: int
    label: int
    box: int | None


@dataclass(frozen=True)
class Result:
    """What came of all images that count.

    Attributes:
        outcomes: of each.
        notes: what looks like a mistake in the files.
    """

    outcomes: list[Outcome]
    notes: list[str]

    def errors(self, k: int, *, boxes: bool = False) -> int:
        """How many images have no right guess among the first ``k``, by label, or by label and box."""
        places = [outcome.box if boxes else outcome.label for outcome in self.outcomes]
        return sum(not 1 <= (place or 0) <= k for place in places)


def evaluate(
    predictions: Sequence[Objects], truth: Sequence[Objects], task: int, blacklist: Container[int] = ()
) -> Result:
    """Hold predictions against the ground truth, image by image.

    Args:
        predictions: guesses for each image, the best first.
        truth: the objects in each image.
        task: 1, labels; or 2, labels and boxes.
        blacklist: images that do not count.

    Raises:
        DataError: more images on one side, or none that counts.
    """
    if len(predictions) != len(truth):
        less = "fewer" if len(predictions) < len(truth) else "more"
        raise DataError(
            f"{len(predictions)} lines of predictions for {len(truth)} images of the ground truth: {less}. Line i of "
            "the one is for image i of the other."
        )
    outcomes = []
    for image, (guesses, objects) in enumerate(zip(predictions, truth, strict=True)):
        if image in blacklist:
            continue
        classes = {one.label for one in objects}
        label = next((i for i, guess in enumerate(guesses, 1) if guess.label in classes), 0)
        box = next((i for i, guess in enumerate(guesses, 1) if _hits(guess, objects)), 0) if task == 2 else None
        outcomes.append(Outcome(image, label, box))
    if not outcomes:
        raise DataError("no image counts: all are on the blacklist.")
    return Result(outcomes, _notes(predictions, truth))


def _hits(guess: LabelledBox, objects: Objects) -> bool:
    return any(
        guess.label == one.label
        and guess.box is not None
        and one.box is not None
        and overlap(guess.box, one.box) >= _RIGHT
        for one in objects
    )


def overlap(a: Box, b: Box) -> float:
    """The pixels in both boxes over those in either."""
    width = min(a.xmax, b.xmax) - max(a.xmin, b.xmin) + 1
    height = min(a.ymax, b.ymax) - max(a.ymin, b.ymin) + 1
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return (box.xmax - box.xmin + 1) * (box.ymax - box.ymin + 1)


def _notes(predictions: Sequence[Objects], truth: Sequence[Objects]) -> list[str]:
    """Labels that cannot be meant alike: of other kinds, or counted from another number."""
    said, true = ({one.label for objects in side for one in objects} for side in (predictions, truth))
    kinds = [{label.isdecimal() for label in side} for side in (said, true)]
    if kinds[0] != kinds[1]:
        return [
            "Labels are numbers on one side and synsets on the other: give --synsets, which says what the numbers mean."
        ]
    if kinds == [{True}, {True}]:
        first = [min(map(int, side)) for side in (said, true)]
        if (first[0] == 0) != (first[1] == 0):
            return [
                f"The predictions' smallest label is {first[0]}, the ground truth's {first[1]}: do both count from 0 "
                "(Caffe, in the order of synset_words.txt), or both from 1 (ILSVRC's own numbers)?"
            ]
    return []
