"""How the documentation is built: ``sphinx-build -W --keep-going docs build/docs``."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
# Pages and docstrings are of one checkout, whatever else is installed.
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

from kdgraph import __version__  # noqa: E402

project = "kdgraph"
author = "The kdgraph developers"
release = version = __version__

extensions = [
    "mathml",
    "public_names",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_ext"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# What arguments and bases of public names are, without being public themselves.
PRIVATE = (
    r"baselines\.(dpq\.DPQSizes|hash_decoder\.DecoderSizes|quantized_table\.Sizes)",
    r"data\.disk\.layout\.Meta",
    r"guidance\.schedules\._DecaySchedule",
    r"data\.stored_order\.StoredOrder",
    r"nn\.over_codes\.OverCodes",
    r"training\.metric\.Metric",
    r"training\.(batches\.batch\.Batch|batching\.Batching|ranks\.Ranks)",
)
# A name of our own that leads nowhere is an error; those of others are not looked up,
# which would take the network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", rf"({others})(\..*)?")
    for others in (
        "abc|collections|os|pathlib|typing",
        "numpy|np|scipy|torch|torch_geometric",
        "Adjacency|CSR|StoredOrder|EdgeIndex|NDArray|Structure|Tensor|Vote",
    )
] + [("py:class", rf"kdgraph\.{name}") for name in PRIVATE]
# A number has no page of its own.
nitpick_ignore_regex.append(("py:obj", r"kdgraph\.ops\.FEWEST_IDS"))

html_theme = "furo"
html_title = f"kdgraph {release}"
html_static_path = ["_static"]
html_css_files = ["kdgraph.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_math_renderer = "mathml"

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
autosummary_generate = False

napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shapes"]
napoleon_use_rtype = False
