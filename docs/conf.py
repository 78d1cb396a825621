"""How the documentation is built: Markdown by MyST, docstrings by autodoc. Settings are Sphinx's own names."""

from __future__ import annotations

import caffepy

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
