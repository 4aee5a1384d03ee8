"""What the guides show runs, and what they show of results is what was measured."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

from kdgraph.cli.main import build_parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ROOMS = ["kdgraph"] + [
    f"kdgraph.{path.parent.name}"
    for path in sorted((ROOT / "kdgraph").glob("*/__init__.py"))
    if path.parent.name != "cli"
]


def blocks(page: Path, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_there_are_examples():
    assert sum(len(blocks(page)) for page in PAGES) >= 20
    assert sum(len(blocks(page, "pycon")) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_examples_run(page, tmp_path, monkeypatch):
    from kdgraph import KDEmbedding

    monkeypatch.chdir(tmp_path)
    # Pages that read an artifact find one.
    encoder = KDEmbedding(50, 16, num_codebooks=8, codebook_size=4)
    encoder.export().save("model.kdg.safetensors")
    for source in blocks(page):
        exec(compile(source, str(page), "exec"), {})  # noqa: S102


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "pycon")], ids=named
)
def test_sessions_give_what_they_show(page):
    text = "\n".join(blocks(page, "pycon"))
    session = doctest.DocTestParser().get_doctest(text, {}, named(page), named(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    failed, tried = runner.run(session)
    assert tried > 0
    assert failed == 0


def test_commands_have_the_options_they_are_given():
    commands = 0
    for page in PAGES:
        for block in blocks(page, "bash") + blocks(page, "text"):
            for line in re.split(r"\n|&&", block):
                words = shlex.split(line, comments=True)
                if "kdgraph" not in words or words[:2] == ["pip", "install"]:
                    continue
                build_parser().parse_args(words[words.index("kdgraph") + 1 :])
                commands += 1
    assert commands >= 20


def test_every_page_is_in_a_table_of_contents():
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in blocks(page, "{toctree}"):
            entries = re.findall(r"^(?:.*<)?([\w/]+)>?$", tree, flags=re.MULTILINE)
            listed |= {page.parent / f"{entry}.md" for entry in entries}
    assert listed == set(DOCS.rglob("*.md"))


@pytest.mark.parametrize("room", ROOMS)
def test_reference_lists_every_public_name(room):
    page = DOCS / "api" / f"{room.rpartition('.')[2]}.md"
    text = page.read_text()
    tables = re.findall(r"autosummary::\n   :nosignatures:\n\n((?:   \w+\n)+)", text)
    names = [name.strip() for table in tables for name in table.splitlines()]
    public = set(importlib.import_module(room).__all__) - {"__version__"}
    assert sorted(names) == sorted(public)
    # The members are written out from the docstrings.
    assert f".. automodule:: {room}\n" in text


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_example_is_short():
    (example,) = blocks(ROOT / "README.md")
    code = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert len(code) <= 12


def test_readme_commands_are_what_ci_runs():
    text = (ROOT / "README.md").read_text()
    for marker in ("run", "test"):
        found = re.search(rf"<!-- {marker} -->\n```bash\n(.*)\n```", text)
        assert found is not None
        assert found.group(1).startswith("pip install")


def test_the_project_speaks_of_itself_alone():
    folders = "home|root|tmp|work|Users"
    forbidden = re.compile(rf"(?<![\w.~])/(?:{folders})/|\bissue #?\d", re.IGNORECASE)
    for folder in ("kdgraph", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".json"):
                assert not forbidden.search(path.read_text()), path
