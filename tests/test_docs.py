"""The documentation: generated pages are those of the code, code blocks run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from caffepy import layer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "models").glob("*/readme.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh(generate: ModuleType) -> None:
    made = generate.pages()
    stale = [name for name, text in made.items() if not (DOCS / name).is_file() or (DOCS / name).read_text() != text]
    assert not stale, "run: python docs/generate.py"
    assert {f"layers/{page.name}" for page in (DOCS / "layers").glob("*.md")} == {n for n in made if "/" in n}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/custom_layers.md", "docs/from_pycaffe.md", "docs/tutorial.md"])
def test_python_blocks_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one namespace, from the repository's root, as a reader would paste them."""
    monkeypatch.chdir(ROOT)
    # Other tests write the same example as a user would, and its name can be taken once only.
    monkeypatch.setattr(layer, "_registry", {k: v for k, v in layer._registry.items() if k != "Swish2"})
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {"__name__": "__readme__"}
    for block in blocks:
        if "snapshots/alexnet" in block:
            block = block.replace(', weights="snapshots/alexnet_iter_450000.caffemodel"', "")
            block = block.replace("deploy.prototxt", "models/alexnet/deploy.prototxt")
        exec(compile(block, page, "exec"), namespace)
    for name, value in list(namespace.items()):
        if name.startswith("test_"):
            value()  # type: ignore[operator]


def test_recorded_names_are_those_of_the_files() -> None:
    """tests/oracle/recorded.json is what the catalogue names as proof."""
    import json

    import numpy as np

    from caffepy.proto.read import parse_net

    folder = ROOT.parent / "shared" / "oracle"
    if not folder.is_dir():
        pytest.skip("no ../shared/oracle beside the checkout: the names of its cases are not compared")
    found: dict[str, list[str]] = {}
    for path in [*sorted((folder / "layers").glob("*.npz")), *sorted((folder / "data").glob("*.npz"))]:
        with np.load(path, allow_pickle=False) as file:
            for kind in dict.fromkeys(layer.type for layer in parse_net(str(file["prototxt"]))[0].layer):
                if kind != "Input":
                    found.setdefault(kind, []).append(path.stem)
    assert json.loads((ROOT / "tests" / "oracle" / "recorded.json").read_text()) == found
