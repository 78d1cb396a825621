"""The checks of what recurrent layers are given: how many blobs, and sequences that fit their markers."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["check_counts", "check_sequence"]


def check_counts(layer: Layer, bottoms: int, tops: int, exposed: int) -> None:
    """Check the number of blobs where ``exposed`` states come in and go out.

    Raises:
        LayerError: too few, or too many.
    """
    least = 2 + exposed
    if not least <= bottoms <= least + 1:
        rule = f"at least {least}" if bottoms < least else f"at most {least + 1}"
        raise layer.error(
            f"{layer.type} Layer takes {rule} bottom blob(s) as input; got {bottoms}. They are x, cont, optionally a "
            "static input and, with expose_hidden, the states before the first step."
        )
    if tops != 1 + exposed:
        raise layer.error(
            f"{layer.type} Layer produces {1 + exposed} top blob(s) as output; got {tops}. They are the outputs and, "
            "with expose_hidden, the states after the last step."
        )


def check_sequence(layer: Layer, bottom: list[Blob], static: bool) -> None:
    """Check that x (T, N, ...), cont (T, N) and, where ``static``, a third bottom (N, ...) fit each other.

    Raises:
        LayerError: they do not.
    """
    x, cont = bottom[:2]
    if len(x.shape) < 2 or x.shape[0] < 1:
        raise layer.error(
            "bottom[0] must have at least 2 axes -- (#timesteps, #streams, ...), and a time step; "
            f"got {x.shape_string}."
        )
    if len(cont.shape) != 2:
        raise layer.error(f"bottom[1] must have exactly 2 axes -- (#timesteps, #streams); got {cont.shape_string}.")
    if cont.shape != x.shape[:2]:
        raise layer.error(
            "bottom[1] marks each step of each stream (Check failed: T_ == bottom[1]->shape(0), N_ == "
            f"bottom[1]->shape(1)): bottom[0] has {x.shape_string}, bottom[1] {cont.shape_string}."
        )
    if static and bottom[2].shape[:1] != x.shape[1:2]:
        raise layer.error(
            "the static input has one item for each stream (Check failed: N_ == bottom[2]->shape(0)): bottom[0] has "
            f"{x.shape_string}, bottom[2] {bottom[2].shape_string}."
        )
