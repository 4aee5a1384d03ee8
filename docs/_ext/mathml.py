"""Formulas as MathML, written when the pages are built: no script, no network."""

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

DELIMITER = re.compile(r"<mo>([(){}\[\]|‖⌈⌉⌊⌋⟨⟩])</mo>")
LABELLED_BRACE = re.compile(
    r"""^([ ]*)<msub>\n
    (\1[ ]{2}<munder>\n(?:\1[ ]{4}.*\n)*?\1[ ]{4}<mo>⏟</mo>\n\1[ ]{2}</munder>\n
    (?:\1[ ]{2}.*\n)*?)
    \1</msub>$""",
    re.MULTILINE | re.VERBOSE,
)
"""What ``\\underbrace{..}_{..}`` becomes, its label beside the brace."""


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a line of text."""
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own, which scrolls where it is too wide."""
    markup = _mathml(node, as_block=True)
    translator.body.append(f'<div class="math-block">{markup}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.math | nodes.math_block, *, as_block: bool) -> str:
    source = " ".join(node.astext().split()).replace("...", r"\ldots ")
    try:
        markup: str = tex2mathml(source, as_block=as_block)
    except MathError as error:
        # A warning, so that a build that takes warnings for errors fails.
        logger.warning("formula %r: %s", source, error, location=node)
        return f"<code>{escape(source)}</code>"
    markup = LABELLED_BRACE.sub(r"\1<munder>\n\2\1</munder>", markup)
    # As in TeX, only those delimiters grow that are told to, and none keep a distance.
    return DELIMITER.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', markup)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer as ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
