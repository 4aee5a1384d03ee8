from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kdgraph.data
from kdgraph.data import load_graph, sbm

REPOSITORY = Path(__file__).resolve().parents[2]


def test_sbm_takes_seed_and_direction() -> None:
    assert load_graph("SBM", seed=2).fingerprint() == sbm(seed=2).fingerprint()
    assert load_graph("sbm", directed=True).directed


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("ogbn-arxive", "ogbn-arxiv"),
        ("coral", "cora"),
        ("Cite_Seer", "citeseer"),
        ("ogbn_papers", "ogbn-papers100M"),
    ],
)
def test_unknown_name_with_a_match(name: str, close: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{close}'") as caught:
        load_graph(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "reddit!", "graph.npy"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(ValueError, match="unknown graph") as caught:
        load_graph(name)
    for choice in ("sbm", "cora", "citeseer", "pubmed", "ogbn-papers100M", ".npz"):
        assert choice in str(caught.value)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=f"{tmp_path}/none.npz: does not exist"):
        load_graph("~/none.npz")


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kdgraph.data._download import default_root

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDGRAPH_DATA", raising=False)
    assert default_root(None) == tmp_path / ".cache" / "kdgraph"
    monkeypatch.setenv("KDGRAPH_DATA", "~/data")
    assert default_root(None) == tmp_path / "data"
    assert default_root("given") == Path("given")


def test_import_is_inert_and_stands_alone() -> None:
    # A bare parent package keeps what the other rooms import out of the picture.
    code = (
        "import sys, types\n"
        "parent = types.ModuleType('kdgraph')\n"
        "parent.__path__ = [sys.argv[1]]\n"
        "sys.modules['kdgraph'] = parent\n"
        "import kdgraph.data\n"
        "names = ('ogb', 'outdated', 'torch_geometric', 'pandas')\n"
        "loaded = [name for name in names if name in sys.modules]\n"
        "rooms = {name.split('.')[1] for name in sys.modules if 'kdgraph.' in name}\n"
        "assert not loaded, loaded\n"
        # Files of the house itself, which import nothing of ours.
        "assert rooms == {'data', 'atomic', 'lock'}, rooms\n"
    )
    package = Path(kdgraph.data.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, str(package)], check=True)


def test_import_does_not_import_ogb() -> None:
    code = "import sys, kdgraph.data\nassert 'ogb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_public_names() -> None:
    names = kdgraph.data.__all__
    assert names == sorted(set(names))
    for name in names:
        assert getattr(kdgraph.data, name).__doc__
