"""Which implementation is at work, and what becomes of processes and threads."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from kdgraph.ops import backend, coded_spmm, core
from tests.ops.conftest import NATIVE
from tests.ops.problems import Case, make_problem

CASE = Case((256,) * 16, 8, "uint8", "concat")


def sums(problem):
    return coded_spmm(
        problem.rowptr, problem.col, problem.weight, problem.codes, problem.books
    )


def test_the_default(monkeypatch):
    monkeypatch.delenv("KDGRAPH_BACKEND", raising=False)
    assert backend() == ("native" if NATIVE else "reference")
    assert backend("meta") == "reference"


def test_asking_by_name(monkeypatch):
    monkeypatch.setenv("KDGRAPH_BACKEND", "reference")
    assert backend() == "reference"
    monkeypatch.setenv("KDGRAPH_BACKEND", "fast")
    with pytest.raises(ValueError, match="expects one of reference, native, triton"):
        backend()
    monkeypatch.setenv("KDGRAPH_BACKEND", "native")
    with pytest.raises(RuntimeError, match="cannot run on cuda: it is for the CPU"):
        backend("cuda")


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )


def test_a_core_that_is_not_there_is_said_once():
    code = (
        "import torch\n"
        "from kdgraph.ops import backend, coded_gather, core\n"
        "core.PATH = core.PATH.with_name('_none.so')\n"
        "for _ in range(3):\n"
        "    books = torch.tensor([[[4.0]]])\n"
        "    found = coded_gather(torch.zeros(1, 1, dtype=torch.uint8), books)\n"
        "print(backend(), found.item())\n"
    )
    environment = {"KDGRAPH_BACKEND": ""}
    done = run(code, **environment)
    assert done.stdout.split() == ["reference", "4.0"]
    assert done.stderr.count("in plain torch, which is slower") == 1
    assert "the compiled core is not at" in done.stderr
    assert "setup.py build_ext --inplace" in done.stderr
    assert not run(code, KDGRAPH_BACKEND="reference").stderr


@pytest.mark.skipif(not NATIVE, reason="the compiled core was not built")
class TestCore:
    @pytest.fixture(autouse=True)
    def _core(self, monkeypatch):
        monkeypatch.setenv("KDGRAPH_BACKEND", "native")

    def test_instruction_sets_by_name(self):
        ask = "from kdgraph.ops import core; print(core.instruction_set())"
        assert run(ask, KDGRAPH_ISA="portable").stdout.strip() == "portable"
        done = run(ask, KDGRAPH_ISA="mmx")
        assert "KDGRAPH_ISA expects one of avx512, avx2, neon, portable" in done.stderr
        assert core.instruction_set() in core.INSTRUCTION_SETS

    def test_no_compiler_of_torch_is_imported(self):
        code = (
            "import sys, torch\n"
            "from kdgraph.ops import coded_gather\n"
            "books = torch.ones(1, 1, 1)\n"
            "coded_gather(torch.zeros(1, 1, dtype=torch.uint8), books)\n"
            "print('torch._dynamo' in sys.modules)\n"
        )
        assert run(code).stdout.strip() == "False"

    def test_threads_at_once(self):
        problems = [make_problem(CASE, seed) for seed in range(4)]
        want = [sums(problem) for problem in problems]
        found = [[] for _ in problems]

        def work(index):
            for _ in range(5):
                found[index].append(sums(problems[index]))

        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for several, one in zip(found, want, strict=True):
            assert len(several) == 5
            assert all(torch.equal(other, one) for other in several)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    def test_a_forked_process_goes_on(self):
        # The comparison is numpy's: the threads of torch itself do not outlive a fork.
        code = (
            "import os, torch\n"
            "from kdgraph.ops import coded_spmm\n"
            "rowptr = torch.arange(0, 400001, 4)\n"
            "col = torch.arange(400000) % 1000\n"
            "codes = (torch.arange(4000) % 251).view(1000, 4).byte()\n"
            "books = torch.randn(4, 256, 8)\n"
            "torch.set_num_threads(2)\n"
            "go = lambda: coded_spmm(rowptr, col, None, codes, books)\n"
            "want = go().numpy()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    os._exit(0 if (go().numpy() == want).all() else 3)\n"
            "_, status = os.waitpid(child, 0)\n"
            "print(os.waitstatus_to_exitcode(status), (go().numpy() == want).all())\n"
        )
        assert run(code).stdout.split() == ["0", "True"]

    def test_offsets_beyond_31_bits(self):
        # Pages that are not touched take no memory, so the table may be this long.
        nodes = (1 << 31) // 16 + 5
        memory = torch.empty(nodes * 16, dtype=torch.uint8)
        codes = memory.view(nodes, 16)
        codes[-1] = torch.arange(16, dtype=torch.uint8)
        codes[0] = 200
        books = torch.randn(16, 256, 8)
        rowptr, col = torch.tensor([0, 1, 2]), torch.tensor([nodes - 1, 0])
        found = coded_spmm(rowptr, col, None, codes, books)
        assert torch.equal(
            found[0], books[torch.arange(16), torch.arange(16)].flatten()
        )
        assert torch.equal(found[1], books[:, 200].flatten())
