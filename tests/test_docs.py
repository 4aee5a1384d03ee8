"""What the guides show runs, and what they show of results is what was measured."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def test_there_are_examples():
    assert sum(len(blocks(page)) for page in PAGES) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch):
    from kdgraph import KDEmbedding

    monkeypatch.chdir(tmp_path)
    # Pages that read an artifact find one.
    encoder = KDEmbedding(50, 16, num_codebooks=8, codebook_size=4)
    encoder.export().save("model.kdg.safetensors")
    for source in blocks(page):
        exec(compile(source, str(page), "exec"), {})  # noqa: S102


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
