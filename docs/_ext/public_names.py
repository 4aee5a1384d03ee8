"""Links lead to where a name is imported from, not to where it is written."""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.reference | None:
    """Lead ``kdgraph.room.file.Name`` to ``kdgraph.room.Name``, if that is public."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("kdgraph."):
        return None
    objects = env.domains.python_domain.objects
    for name in shortened(target):
        if name in objects:
            place = objects[name]
            return make_refnode(
                app.builder,
                node["refdoc"],
                place.docname,
                place.node_id,
                contnode,
                name,
            )
    return None


def shortened(target: str) -> list[str]:
    """Names with some of the inner parts left out, those that keep most first.

    Example:
        >>> shortened("kdgraph.ops.csr.Csr")
        ['kdgraph.ops.Csr', 'kdgraph.csr.Csr', 'kdgraph.Csr']
    """
    parts = target.split(".")
    spans = [
        (start, stop)
        for start in range(1, len(parts) - 1)
        for stop in range(start + 1, len(parts))
    ]
    spans.sort(key=lambda span: (span[1] - span[0], -span[0]))
    return [".".join(parts[:start] + parts[stop:]) for start, stop in spans]


def skip(
    app: Sphinx,  # noqa: ARG001
    what: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    obj: object,
    skipped: bool,  # noqa: FBT001
    options: object,  # noqa: ARG001
) -> bool | None:
    """Leave out fields of named tuples, which their class explains."""
    doc = getattr(obj, "__doc__", None)
    if isinstance(doc, str) and doc.startswith("Alias for field number"):
        return True
    return True if skipped else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Answer for names that are not found, and for members."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("missing-reference", resolve)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
