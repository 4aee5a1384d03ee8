"""The README's tables, between comments that name them."""

from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def with_block(readme: str, name: str, text: str) -> str:
    """The README with a text between ``<!-- name -->`` and ``<!-- /name -->``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = readme.split(begin)
    _, after = rest.split(end)
    return before + begin + text + end + after
