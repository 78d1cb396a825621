"""How the documentation is built: Markdown by MyST, and one generated page, the catalogue of layers."""

from __future__ import annotations

import inspect
from pathlib import Path

import caffepy
from caffepy.layer import get_layer_class

project = "caffepy"
author = "the caffepy authors"
copyright = "2026, the caffepy authors"
release = caffepy.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"caffepy {release}"
myst_heading_anchors = 3
autodoc_typehints = "signature"
default_role = "literal"
exclude_patterns = ["_build"]
# The README's links to files of the repository, which are not pages.
suppress_warnings = ["myst.xref_missing"]


def _count(limits: tuple[int, int | None]) -> str:
    least, most = limits
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def write_layers() -> None:
    """docs/layers.md from the docstrings of the registered layers."""
    lines = [
        "# Layers",
        "",
        "Written from the docstrings of `caffepy/layers/`. Fields and defaults are those of `proto/caffe.proto`.",
        "",
    ]
    for name in caffepy.layer_types():
        layer = get_layer_class(name)
        if not layer.__module__.startswith("caffepy.layers."):
            continue
        lines += [
            f"## {name}",
            "",
            f"*Bottoms: {_count(layer.bottoms)}; tops: {_count(layer.tops)}"
            f"{'; may run in place' if layer.in_place else ''}{'; a loss' if layer.loss else ''}.*"
            f" `{layer.__module__.replace('.', '/')}.py`",
            "",
            inspect.cleandoc(layer.__doc__ or ""),
            "",
        ]
    (Path(__file__).parent / "layers.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


write_layers()
