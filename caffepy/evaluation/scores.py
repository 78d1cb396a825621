"""Where in a net the scores of classes are, and the labels that they are held against."""

from __future__ import annotations

from dataclasses import dataclass

from caffepy.errors import NetError, did_you_mean
from caffepy.net import Net
from caffepy.net.build import Entry

__all__ = ["ScoreBlobs", "find_scores"]

#: Layers that hold scores against labels, those that decide first; a softmax is part of the first two.
_READS_SCORES = ("SoftmaxWithLoss", "InfogainLoss")
_READS_LABELS = (*_READS_SCORES, "MultinomialLogisticLoss", "HingeLoss", "Accuracy")


@dataclass(frozen=True)
class ScoreBlobs:
    """Names of blobs.

    Attributes:
        scores: (N, K), a score for each class.
        label: (N,).
        normalised: the scores are probabilities already, of a Softmax layer.
        logits: what that Softmax reads; the scores themselves where they are not normalised.
        ignore_label: images of this label do not count, or None.
    """

    scores: str
    label: str
    normalised: bool
    logits: str
    ignore_label: int | None = None


def find_scores(net: Net, name: str = "") -> ScoreBlobs:
    """The scores and labels of a net that classifies.

    The scores are what SoftmaxWithLoss (or InfogainLoss) of the largest loss_weight reads; else what Accuracy or
    another loss of classes reads; else what a Softmax computes.

    Args:
        net: with its data.
        name: of the scores' blob, where the net has several.

    Raises:
        NetError: none, or several that are equal, or no labels; or one that is not (N, K). The candidates are named.
    """
    makers = {top: entry for entry in net.entries for top in entry.top_names}
    readers = [(_origin(makers, entry.bottom_names[0]), entry) for entry in net.entries if _reads_labels(entry)]
    if name and name not in net.blobs:
        raise NetError(f"--scores {name}: the net has no blob '{name}'.{did_you_mean(name, _candidates(net))}")
    chosen = name or _chosen(net, readers)
    reader = next((entry for scores, entry in readers if scores == chosen), None)
    if reader is not None:
        label = _origin(makers, reader.bottom_names[1])
    else:
        label = next((e.top_names[1] for e in net.entries if not e.bottom_names and len(e.top_names) > 1), "")
        if not label:
            raise NetError(
                f"net '{net.name}': no layer reads labels beside '{chosen}', and no data layer has a second top."
            )
    maker = makers[chosen]
    normalised = maker.layer.type == "Softmax"
    logits = _origin(makers, maker.bottom_names[0]) if normalised else chosen
    found = ScoreBlobs(chosen, label, normalised, logits, _ignored(readers, chosen))
    _check_shapes(net, found)
    return found


def _reads_labels(entry: Entry) -> bool:
    return entry.layer.type in _READS_LABELS and len(entry.bottom_names) > 1


def _origin(makers: dict[str, Entry], name: str) -> str:
    """The blob that a Split has copied."""
    while name in makers and makers[name].layer.type == "Split":
        name = makers[name].bottom_names[0]
    return name


def _chosen(net: Net, readers: list[tuple[str, Entry]]) -> str:
    losses = [(scores, entry.loss_weights[0]) for scores, entry in readers if entry.layer.type in _READS_SCORES]
    best = max((weight for _, weight in losses), default=0.0)
    groups = (
        [scores for scores, weight in losses if weight == best],
        [scores for scores, _ in readers],
        [entry.top_names[0] for entry in net.entries if entry.layer.type == "Softmax"],
    )
    for group in groups:
        names = list(dict.fromkeys(group))
        if len(names) == 1:
            return names[0]
        if names:
            raise NetError(
                f"net '{net.name}' has several blobs of scores: {', '.join(names)}. Say which: --scores {names[-1]}."
            )
    candidates = _candidates(net)
    raise NetError(
        f"net '{net.name}': found no scores of classes: no SoftmaxWithLoss, Accuracy or Softmax. Blobs that could be: "
        f"{', '.join(candidates[-10:]) or 'none'}. Say which: --scores BLOB."
    )


def _candidates(net: Net) -> list[str]:
    """Blobs of the shape of scores."""
    return [
        name
        for name, blob in net.blobs.items()
        if len(blob.shape) >= 2 and blob.count == blob.shape[0] * blob.shape[1] and blob.shape[1] > 1
    ]


def _ignored(readers: list[tuple[str, Entry]], chosen: str) -> int | None:
    for scores, entry in readers:
        param = entry.layer.param
        settings = param.accuracy_param if entry.layer.type == "Accuracy" else param.loss_param
        if scores == chosen and settings.HasField("ignore_label"):
            return int(settings.ignore_label)
    return None


def _check_shapes(net: Net, found: ScoreBlobs) -> None:
    scores, labels = net.blobs[found.scores].shape, net.blobs[found.label].shape
    if found.scores not in _candidates(net):
        raise NetError(
            f"net '{net.name}': blob '{found.scores}' is {scores}; expected a score for each class of each image, "
            "(N, K) or (N, K, 1, 1), K at least 2."
        )
    if net.blobs[found.label].count != scores[0]:
        raise NetError(
            f"net '{net.name}': blob '{found.label}' is {labels}; expected a label for each of {scores[0]} images."
        )
