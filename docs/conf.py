"""How the pages are built: Markdown and notebooks by MyST-NB, docstrings by autodoc. Settings are named by them."""

from __future__ import annotations

import caffepy

project = "caffepy"
author = "the caffepy authors"
copyright = "2026, the caffepy authors"
release = caffepy.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"caffepy {release}"
myst_heading_anchors = 3
autodoc_typehints = "signature"
default_role = "literal"
exclude_patterns = ["**.ipynb_checkpoints"]
# Notebooks are kept without outputs and run whenever the pages are built: what a page shows is what its code gives
# today, and a cell that fails ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True
