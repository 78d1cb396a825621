"""The notebooks in docs/: each cell runs, what their text claims comes out, and they are kept without outputs.

`make docs` runs them too, in the kernel that a reader has; here they run in this process, so that what they computed
can be looked at.
"""

from __future__ import annotations

import json
import linecache
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]


class Display:
    """What IPython gives notebooks beside Python: shows a figure, and shows it again where it was."""

    def __init__(self):
        self.shown, self.updates = [], 0

    def __call__(self, figure, *, display_id):
        assert display_id is True
        self.shown.append(figure)
        return self

    def update(self, figure):
        assert figure is self.shown[-1]
        figure.canvas.draw()
        self.updates += 1


def cells(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def run(monkeypatch):
    """Run a notebook's cells, in order, from its own folder; gives its names, its pictures and its `Display`."""
    monkeypatch.chdir(FOLDER)
    plt.switch_backend("Agg")

    def all_cells(name):
        display, pictures = Display(), []
        namespace = {"__name__": "__main__", "display": display}
        for number, cell in enumerate(cells(name)):
            if cell["cell_type"] != "code":
                continue
            source = "".join(cell["source"])
            file = f"{name}.ipynb, cell {number}"
            # Or a traceback would not show the line that failed.
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            exec(compile(source, file, "exec"), namespace)
            for figure in map(plt.figure, plt.get_fignums()):
                figure.canvas.draw()
                pictures.append(np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy())
            plt.close("all")
        return namespace, pictures, display

    yield all_cells
    plt.close("all")


def drawn(pictures):
    """How many pictures have something on them."""
    return sum(bool(picture.std() > 5) for picture in pictures)


def test_classification(run, capsys):
    seen, pictures, _ = run("classification")
    assert len(pictures) == drawn(pictures) == 6
    assert seen["prob"].argmax() == seen["labels"][1]
    assert np.mean(seen["answers"] == seen["labels"]) > 0.97
    assert len(seen["wrong"]) == np.sum(seen["answers"] != seen["labels"]) > 0
    # Pixels of another scale do not stop it, and make it sure of all it says; black on white does stop it.
    assert np.mean(seen["unscaled"].argmax(1) == seen["labels"]) > 0.9
    assert seen["unscaled"].max(1).mean() > 0.99
    assert np.mean(seen["inverted"].argmax(1) == seen["labels"]) < 0.2
    assert [fall.shape for fall in seen["falls"]] == [(28, 28)] * 5
    assert max(fall.max() for fall in seen["falls"]) > 0.5
    # A covered corner, where no stroke is, changes nothing.
    assert all(abs(fall[0, 0]) < 0.05 for fall in seen["falls"])
    assert "431080 numbers in all" in capsys.readouterr().out


def test_learning_lenet(run):
    seen, pictures, display = run("learning_lenet")
    assert (len(display.shown), display.updates) == (1, 15)
    assert len(pictures) == drawn(pictures) == 4
    losses, tested = seen["losses"], seen["tested"]
    assert losses[0] > 2 > 0.3 > np.mean(losses[-10:])
    assert list(tested) == list(range(10, 151, 10))
    assert tested[150] > 0.9
    assert tested[150] > tested[10] + 0.05
    assert seen["opinion"][-1].argmax() == seen["digit_label"]
    np.testing.assert_allclose(seen["opinion"].sum(1), 1, rtol=1e-5)
    assert not seen["here"].exists()


def test_fine_tuning(run, capsys):
    seen, pictures, _ = run("fine_tuning")
    assert len(pictures) == drawn(pictures) == 3
    assert seen["kept"]
    assert seen["losses"][-1] < 0.02
    # What the text says of four times as many labels.
    scratch, last, both = (seen["results"][way] for way in ("from scratch", "last layer", "all layers"))
    assert last.mean() > scratch.mean() + 0.02
    assert both.mean() > scratch.mean() + 0.02
    assert scratch[2] < both[0] + 0.03
    assert min(last.min(), both.min()) > 0.8
    assert "Cannot copy param 0 weights from layer 'ip2'; shape mismatch" in capsys.readouterr().out


def test_net_surgery(run):
    seen, pictures, _ = run("net_surgery")
    assert len(pictures) == drawn(pictures) == 3
    np.testing.assert_allclose(seen["apart"], seen["full"].blobs["prob"].data[0], rtol=1e-3, atol=1e-5)
    assert seen["prob"].shape == (10, 18, 48)
    assert len(seen["found"]) == len(seen["placed"]) == 12
    assert sum(seen["read"]) >= 10
    assert seen["same"]


def test_all_are_tested_and_shown():
    listed = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert len(NAMES) == 4
    assert all(f"test_{name}" in globals() for name in NAMES)
    assert all(re.search(rf"^{name}$", listed, re.MULTILINE) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_kept_without_outputs(name):
    """Pictures in a repository go stale and grow; these are drawn when the pages are built."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]], (
        "clear the outputs (Jupyter: Edit > Clear Outputs of All Cells) and save"
    )
    text = "".join("".join(cell["source"]) + "\n" for cell in code)
    assert "import caffepy as caffe" in text
    assert not re.search(r"^\s*[%!]|https?://|shared/", text, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    for cell in cells(name):
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)#:]+)\)", "".join(cell["source"])):
                assert (FOLDER / target).is_file(), f"{cell['id']} links to {target}"
