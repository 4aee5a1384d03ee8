"""The core without Python: its driver, on this processor and on an emulated one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kdgraph.ops import core
from tests.ops.conftest import NATIVE

RUN = Path(__file__).parents[2] / "csrc" / "tests" / "run.sh"
ARM = ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc", "qemu-aarch64-static")


def driven(*arguments):
    """What the driver says of each instruction set."""
    ours = {k: v for k, v in os.environ.items() if k != "KDGRAPH_CXXFLAGS"}
    if len(arguments) > 1:
        ours.pop("LD_PRELOAD", None)
    done = subprocess.run(
        [RUN, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=ours,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not NATIVE, reason="the compiled core was not built")
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
def test_driver_agrees_with_the_core(tmp_path):
    built = tmp_path / "kdgraph" / "ops" / "_core.so"
    built.parent.mkdir(parents=True)
    shutil.copy(core.PATH, built)
    told = driven(tmp_path)
    assert f"{core.instruction_set()}: " in told
    assert "portable: " in told


@pytest.mark.slow  # the core is compiled for another processor
@pytest.mark.skipif(
    not all(map(shutil.which, ARM)), reason=f"there are no {', '.join(ARM)}"
)
def test_arm_has_vectors_of_its_own(tmp_path):
    told = driven(tmp_path, "aarch64-linux-gnu", "qemu-aarch64-static")
    assert "neon: " in told
    assert "avx2: " not in told
