"""The compiled core's file: which one is taken, and which are refused, with what."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kdgraph.ops import core
from tests.ops.conftest import NATIVE

SOURCES = Path(__file__).parents[2] / "csrc"

INTERFACE = {5: "44aac8ab"}
"""A digest of all that Python shares with the core, by ABI number."""


@pytest.fixture
def opened(monkeypatch):
    """Open a file as the core; what is loaded stays as it was."""

    def opened(path):
        monkeypatch.setattr(core, "PATH", path)
        return core.load_core.__wrapped__()

    return opened


def compiled(text, folder):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no compiler")
    source, library = folder / "other.c", folder / "other.so"
    source.write_text(text)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def interface():
    """Functions that are exported and structs that Python fills, spaces left out."""
    texts = [path.read_text() for path in sorted(SOURCES.glob("*.cpp"))]
    parts = [
        part for text in texts for part in re.findall(r"KDGRAPH_EXPORT[^{;]*", text)
    ]
    structs = (
        ("edges.h", "Edges"),
        ("plan.h", "Codes"),
        ("layout.h", "Queries"),
        ("layout.h", "SoftChoice"),
    )
    for header, name in structs:
        text = (SOURCES / header).read_text()
        fields = re.search(
            rf"^struct {name} \{{(.*?)(?:\(|^\}})", text, re.MULTILINE | re.DOTALL
        )
        parts.append(re.sub(r"//.*", "", fields[1]))
    return ["".join(part.split()) for part in parts]


def test_an_interface_that_changes_has_another_number():
    found = hashlib.sha256("\n".join(interface()).encode()).hexdigest()[:8]
    assert {core.ABI: found} == INTERFACE, "count ABI up in core.py and core.cpp"


def test_both_sides_have_the_same_number():
    text = (SOURCES / "core.cpp").read_text()
    assert re.search(r"kdgraph_abi\(\) \{ return (\d+); \}", text)[1] == str(core.ABI)


def test_a_file_that_is_not_there(opened, tmp_path):
    with pytest.raises(ImportError, match=r"is not at .*; to build it run .*setup\.py"):
        opened(tmp_path / "_core.so")


def test_a_file_for_another_machine(opened, tmp_path):
    path = tmp_path / "_core.so"
    path.write_bytes(b"\x7fELF of some other machine")
    with pytest.raises(ImportError, match=r"cannot be loaded here \(.*; to build it"):
        opened(path)


@pytest.mark.parametrize(
    ("text", "number"),
    [("int kdgraph_abi() { return 4711; }", 4711), ("int none() { return 0; }", 0)],
)
def test_a_build_of_another_version(text, number, opened, tmp_path):
    stale = compiled(text, tmp_path)
    with pytest.raises(
        ImportError, match=rf"number is {number}, expected {core.ABI}\)"
    ):
        opened(stale)


def test_an_installed_package_is_not_sent_to_a_checkout(monkeypatch, opened, tmp_path):
    monkeypatch.setattr(core, "__file__", str(tmp_path / "a/kdgraph/ops/core.py"))
    with pytest.raises(ImportError, match="; reinstall kdgraph from its source"):
        opened(tmp_path / "_core.so")
    monkeypatch.setattr(core.sys, "platform", "win32")
    with pytest.raises(ImportError, match="on Windows means in WSL"):
        opened(tmp_path / "_core.so")


@pytest.mark.skipif(not NATIVE, reason="the compiled core was not built")
def test_its_name_is_of_no_python():
    assert core.PATH.name == "_core.so"
    assert core.PATH.exists()
