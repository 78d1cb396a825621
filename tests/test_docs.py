"""The documentation: generated pages are those of the code, code blocks run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "models").glob("*/readme.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["layers", "commands"])
def test_generated_pages_are_fresh(page: str, generate: ModuleType) -> None:
    committed = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert committed == getattr(generate, f"{page}_page")(), "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/custom_layers.md", "docs/tutorial.md"])
def test_python_blocks_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one namespace, from the repository's root, as a reader would paste them."""
    monkeypatch.chdir(ROOT)
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
