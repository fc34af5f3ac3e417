"""The site: `sphinx-build -W -c docs . build/site`, from the root, so that links hold in it as they do on GitHub."""

import sys
from pathlib import Path

from docutils.nodes import SkipNode, math
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parents[1]))

import cnn_zoo  # this one, not what is installed

project, author, release = "cnn_zoo", "The cnn_zoo authors", cnn_zoo.__version__
html_title, html_show_copyright = "cnn_zoo", False
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["*.md", "docs/*.md", "notebooks/*", "benchmarks/*.md"]
exclude_patterns = ["README.md"]  # docs/index.md stands in its place
root_doc = "docs/index"
html_theme = "furo"
html_additional_pages = {"index": "start.html"}
templates_path = ["."]
nb_execution_mode = "off"  # outputs are those in the files, which the tests compare
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "none"
napoleon_use_ivar = True
default_role = "code"  # docstrings write `names` as Markdown does
html_math_renderer = "mathml"  # MathJax would come from another host


def mathml(translator, node):
    """Formulas as MathML, which browsers draw by themselves."""
    inline = isinstance(node, math)
    formula = convert(node.astext(), display="inline" if inline else "block")
    translator.body.append(formula if inline else f'<div class="math">{formula}</div>')
    raise SkipNode


def plain(app, what, name, obj, options, lines):
    """Docstrings are text, in which **options is no bold type."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", plain, priority=1)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
