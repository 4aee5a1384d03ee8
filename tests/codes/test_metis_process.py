"""METIS in a process of its own: the same cuts, and nothing of it left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pymetis
import pytest
from scipy import sparse

from kdgraph.codes import metis_process
from kdgraph.codes.metis_process import MetisProcess
from kdgraph.codes.partition import partition_graph
from kdgraph.data import sbm
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="what only Linux does")


def graph(num_nodes=500, weights=None):
    adj = sparse.csr_array(sbm(num_nodes=num_nodes, seed=0).adj, dtype=np.int8)
    if weights is not None:
        adj = sparse.csr_array(sparse.triu(adj)).astype(np.int32)
        adj.data[:] = weights.integers(1, 1000, adj.nnz)
        adj = sparse.csr_array(adj + adj.T)
    return adj


@pytest.fixture
def fake_metis(tmp_path, monkeypatch):
    """Put a module in the place of pymetis, for the process alone."""

    def write(body):
        path = tmp_path / "pymetis.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        path.write_text(
            "import os, time\n"
            "from types import SimpleNamespace as Options, SimpleNamespace as Cut\n"
            "def CSRAdjacency(starts, columns): return starts\n"
            f"def part_graph(num_parts, starts, **options):\n{lines}"
        )
        monkeypatch.syspath_prepend(tmp_path)

    return write


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_cuts_are_those_that_metis_makes_here(weighted, index):
    adj = graph(weights=np.random.default_rng(0) if weighted else None)
    adj.indptr, adj.indices = adj.indptr.astype(index), adj.indices.astype(index)
    with MetisProcess() as metis:
        for num_parts, seed in ((2, 5), (7, 2**31 - 1), (40, 2)):
            _, here = pymetis.part_graph(
                num_parts,
                pymetis.CSRAdjacency(adj.indptr, adj.indices),
                eweights=adj.data if weighted else None,
                recursive=True,
                options=pymetis.Options(seed=seed),
            )
            assert np.array_equal(metis.cut(adj, num_parts, seed), here)


def test_the_process_imports_neither_torch_nor_numpy():
    worker = Path(metis_process.__file__).with_name("_metis_worker.py")
    command = [sys.executable, "-I", "-S", "-X", "importtime", worker, *sys.path]
    ended = subprocess.run(command, input=b"", capture_output=True, check=True)
    imported = {line.rsplit(b"|")[-1].strip() for line in ended.stderr.splitlines()}
    assert b"pymetis" in imported
    assert not imported & {b"numpy", b"torch", b"kdgraph"}


def test_what_metis_prints_is_no_reply(fake_metis, capfd):
    fake_metis("os.write(1, b'says METIS')\nreturn Cut(vertex_part=[0, 1, 1, 0])")
    with MetisProcess() as metis:
        assert metis.cut(graph()[:4][:, :4], 2, 2).tolist() == [0, 1, 1, 0]
    assert capfd.readouterr().err == "says METIS"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise RuntimeError('an unknown exception')", "(an unknown exception)"),
        ("raise MemoryError('not a byte')", "(not a byte)"),
        ("os._exit(7)", "(it ended with status 7)"),
    ],
)
def test_failure_is_one_sentence(fake_metis, body, why):
    fake_metis(body)
    with MetisProcess() as metis, pytest.raises(RuntimeError) as error:
        metis.cut(graph(), 4, 2)
    says = str(error.value)
    assert says.startswith("METIS could not cut a cluster of 500 nodes and ")
    assert f"edges, for want of memory most likely {why}; free memory" in says


def test_process_that_does_not_start_is_one_sentence(monkeypatch, tmp_path):
    def refused(says):
        with MetisProcess() as metis, pytest.raises(RuntimeError, match=says):
            metis.cut(graph(), 4, 2)

    (tmp_path / "pymetis.py").write_text("raise ImportError('no METIS')")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        refused("not be started: no METIS")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    refused("not be started: .*No such file")
    monkeypatch.setattr(sys, "executable", None)
    refused(r"set sys\.executable")


class Stop(BaseException):
    """What a handler of a signal raises."""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_raises_ends_the_process(fake_metis, number):
    def strike(*_):
        raise Stop

    fake_metis("time.sleep(60)")
    usual = signal.signal(number, strike)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
    timer.start()
    begun, pids = time.monotonic(), []

    def cut():
        with MetisProcess() as metis:
            try:
                metis.cut(graph(), 4, 2)
            finally:
                pids.append(metis._process.pid)

    try:
        with pytest.raises(Stop):
            cut()
    finally:
        signal.signal(number, usual)
        timer.cancel()
    assert gone(*pids)
    assert time.monotonic() - begun < 10
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


@posix
def test_signals_sent_to_the_whole_job_do_not_break_a_cut(fake_metis):
    received = []
    fake_metis("time.sleep(0.5)\nreturn Cut(vertex_part=[0] * (len(starts) - 1))")
    with MetisProcess() as metis:
        metis.cut(graph(), 4, 2)

        def send():
            time.sleep(0.1)
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
                os.kill(metis._process.pid, number)

        held = (signal.SIGINT, signal.SIGTERM)
        usual = [signal.signal(one, lambda n, _: received.append(n)) for one in held]
        thread = threading.Thread(target=send)
        thread.start()
        try:
            assert metis.cut(graph(), 4, 2).tolist() == [0] * 500
        finally:
            thread.join()
            for number, handler in zip(held, usual, strict=True):
                signal.signal(number, handler)
    assert sorted(received) == sorted(held)


@linux
def test_process_ends_with_one_that_is_killed(fake_metis):
    fake_metis("time.sleep(60)")
    # Without a guard of __main__, which a script has no need of.
    script = (
        f"import sys; sys.path[:] = {sys.path}\n"
        "import numpy as np, threading, time\n"
        "from scipy import sparse\n"
        "from kdgraph.codes.metis_process import MetisProcess\n"
        "adj = sparse.csr_array(np.ones((9, 9), dtype=np.int8))\n"
        "with MetisProcess() as metis:\n"
        "    threading.Thread(target=metis.cut, args=(adj, 3, 2)).start()\n"
        "    while metis._process is None: time.sleep(0.01)\n"
        "    print(metis._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone(pid)


def test_threads_cut_side_by_side():
    expected = partition_graph(graph(), (4, 4), seed=1).order
    found = []

    def work():
        found.append(partition_graph(graph(), (4, 4), seed=1).order)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(np.array_equal(one, expected) for one in found)


@linux
def test_peak_memory_counts_both_processes(fake_metis):
    fake_metis("held = b'1' * (1 << 29)\nreturn Cut(vertex_part=[0] * 500)")
    reset_peak_rss()
    before = peak_rss_bytes()
    with MetisProcess() as metis:
        metis.cut(graph(), 4, 2)
    assert peak_rss_bytes() > before + (1 << 29)
    reset_peak_rss()
    assert peak_rss_bytes() < before + (1 << 28)
