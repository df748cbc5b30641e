"""Settings of the documentation site, which `make docs` builds with Sphinx.

The source folder is the repository itself, so that a link from one page to another, or
to LIMITATIONS.md, is the same on the site and in the repository.
"""

import os
import sys
from importlib import metadata

project = "deepfake-ensemble"
author = "The deepfake-ensemble developers"
version = release = metadata.version("deepfake-ensemble")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
root_doc = "examples/docs/index"
include_patterns = [
    "examples/docs/index.rst",
    "examples/docs/gallery.md",
    "examples/docs/guide/*.md",
    "examples/docs/extending/*.md",
    "examples/docs/api/**.rst",
    "examples/benchmarks/*.md",
    "examples/README.md",
    "base_models/README.md",
    "README.md",
    "LIMITATIONS.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "CHANGELOG.md",
]
# In full: autosummary looks from the source folder, which is not this one.
templates_path = [
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "_templates")
]
myst_heading_anchors = 3  # links to headings, as in the repository

autosummary_generate = True
autosummary_imported_members = False
autodoc_typehints = "none"  # numpydoc sections say it, with shapes and units
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False  # the template lists them
default_role = "py:obj"  # `name` in a docstring is code, and a link where there is one

html_theme = "furo"
html_title = "deepfake-ensemble"
html_show_sourcelink = False
html_additional_pages = {"index": "home.html"}  # sends on to the contents

# Whatever imports the library for its docstrings needs no GPU and no progress bars.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, os.path.abspath("../.."))


def _skip_foreign(app, kind, name, member, skip, options):
    """Leave out what scikit-learn gives each estimator: its pages say it better."""
    foreign = getattr(member, "__module__", None) or ""
    return True if foreign.split(".")[0] == "sklearn" else None


def setup(app):
    """Connect what Sphinx asks while it reads the docstrings."""
    app.connect("autodoc-skip-member", _skip_foreign)
