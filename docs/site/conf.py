"""Settings of the documentation site; `make docs` copies the pages into build/docs."""

from __future__ import annotations

import scdiff

project = "scdiff"
author = "the scdiff developers"
version = release = scdiff.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["README.md", "docs/site/index.md", "test_data/README.md"]
nb_execution_mode = "off"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Reads", "notes_style"),
    ("Writes", "notes_style"),
    ("Source", "notes_style"),
]
html_theme = "furo"
html_title = f"scdiff {release}"
html_copy_source = False
html_show_sphinx = False
suppress_warnings = ["toc.not_included"]  # tables of benchmarks are reached by links
smartquotes = False
