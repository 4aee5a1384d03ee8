"""Rivals compute the same thing, and the page is what the results say."""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks.message_passing import (
    __main__ as command_line,
)
from benchmarks.message_passing import (
    exact,
    graphs,
    machine,
    measure,
    report,
    runs,
    table,
)
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.readme import with_speed
from benchmarks.message_passing.rivals import RIVALS, of_suite
from benchmarks.message_passing.rivals.pyg import GCNConvEdges
from benchmarks.message_passing.rivals.tables import TorchSparse
from benchmarks.message_passing.roofline import Work, aggregation, roof, spread_class
from benchmarks.message_passing.setting import SIZES, SUITES, Setting
from benchmarks.readme import README

NODES, EDGES = 300, 3000


def tiny(suite="forward", **others):
    values = {"channels": 12, "num_codebooks": 3, "codebook_size": 16} | others
    return Setting(suite, "tiny", NODES, EDGES, **values)


def written(folder, setting):
    folder.mkdir(exist_ok=True)
    runs.prepare(setting, folder, None)
    return Inputs(folder)


@pytest.fixture(scope="module")
def inputs_of(tmp_path_factory):
    """The inputs of a suite, written once."""

    @cache
    def make(suite):
        return written(tmp_path_factory.mktemp(suite), tiny(suite))

    return make


@pytest.fixture
def forward(tmp_path):
    return written(tmp_path / "forward", tiny())


def as_scipy(inputs) -> sparse.csr_array:
    parts = (inputs.weight.double(), inputs.col, inputs.rowptr)
    return sparse.csr_array(tuple(part.numpy() for part in parts), (NODES, NODES))


def plain_table(inputs):
    """The vectors of all nodes, by a loop."""
    rows = [
        torch.cat(
            [book[code] for book, code in zip(inputs.codebooks, row, strict=True)]
        )
        for row in inputs.codes.long()
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("degrees", ["uniform", "power-law"])
def test_graph_is_a_csr_of_that_many_edges(degrees):
    drawn = graphs.draw_graph(tiny(degrees=degrees))
    assert drawn.rowptr.dtype == drawn.col.dtype == np.int32
    assert drawn.rowptr[0] == 0
    assert drawn.rowptr[-1] == len(drawn.col) == len(drawn.weight) == EDGES
    assert (np.diff(drawn.rowptr) >= 0).all()
    assert drawn.col.min() >= 0
    assert drawn.col.max() < NODES
    degree = np.maximum(np.diff(drawn.rowptr), 1)
    target = np.repeat(np.arange(NODES), np.diff(drawn.rowptr))
    np.testing.assert_allclose(
        drawn.weight, (degree[target] * degree[drawn.col]) ** -0.5, rtol=1e-5
    )


def test_power_law_has_hubs_that_read_as_often_as_they_are_read():
    drawn = graphs.draw_graph(tiny(degrees="power-law"))
    degree = np.diff(drawn.rowptr)
    np.testing.assert_array_equal(np.bincount(drawn.col, minlength=NODES), degree)
    assert degree.max() > 10 * np.median(degree)
    even = np.diff(graphs.draw_graph(tiny()).rowptr)
    assert even.max() < 3 * even.mean()


def test_seed_decides():
    one, same, other = (graphs.draw_graph(tiny(seed=seed)).col for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).mean() > 0.9


def test_expected_sums_are_scipys(forward):
    wanted = exact.expected(forward)
    sums = as_scipy(forward) @ plain_table(forward).double().numpy()
    rows = exact.sampled(NODES)
    assert {0, NODES - 1} <= set(rows)
    linear = forward.linear(0, 12, 12).double().numpy()
    for prefix, full in (("", sums), ("mapped ", sums @ linear.T)):
        np.testing.assert_allclose(wanted[f"{prefix}rows"], full[rows], atol=1e-12)
        total = full.sum(axis=0)
        np.testing.assert_allclose(wanted[f"{prefix}columns"], total, atol=1e-10)


def test_expected_gradients_are_autograds(tmp_path):
    inputs = written(tmp_path, tiny("both"))
    books = inputs.codebooks.double().requires_grad_()
    linear = inputs.linear(0, 12, 12).double().requires_grad_()
    parts = [
        book[codes] for book, codes in zip(books, inputs.codes.long().T, strict=True)
    ]
    adj = torch.from_numpy(as_scipy(inputs).toarray())
    output = adj @ torch.cat(parts, dim=1) @ linear.T
    output.backward(inputs.upstream().double())
    wanted = exact.expected(inputs)
    np.testing.assert_allclose(wanted["codebooks"], books.grad, atol=1e-5)
    np.testing.assert_allclose(wanted["linear"], linear.grad, atol=1e-5)


PAIRS = [
    (suite, rival.name)
    for suite in SUITES
    for rival in of_suite(suite)
    # Tests of their own follow.
    if rival.name not in ("faiss", "pyg-compiled")
]


@pytest.mark.parametrize(("suite", "name"), PAIRS)
def test_rival_computes_what_is_expected(suite, name, inputs_of):
    inputs, rival = inputs_of(suite), RIVALS[name]
    try:
        with torch.set_grad_enabled(rival.gradients):
            made = rival(inputs)
            made.run()
            found = made.signature(made.run())
    except ImportError as error:
        pytest.skip(f"not there yet: {error}")
    wanted = exact.load(inputs.folder)
    assert exact.difference(found, wanted) < rival.tolerance
    if suite in ("forward", "plain"):
        assert found.keys() == {f"{rival.prefix}rows", f"{rival.prefix}columns"}
    else:
        assert found.keys() == wanted.keys()


def test_faiss_decodes_our_codes(tmp_path):
    pytest.importorskip("faiss")
    inputs = written(tmp_path, tiny("gather", codebook_size=256))
    rival = RIVALS["faiss"](inputs)
    found = rival.signature(rival.run())
    assert exact.difference(found, exact.load(tmp_path)) < 1e-6


@pytest.mark.slow  # a C++ compiler runs
def test_compiled_layer_computes_what_is_expected(forward):
    with torch.no_grad():
        rival = RIVALS["pyg-compiled"](forward)
        found = rival.signature(rival.run())
    assert exact.difference(found, exact.load(forward.folder)) < 1e-4


def test_every_suite_has_a_baseline_that_takes_part():
    for suite in SUITES:
        names = {rival.name for rival in of_suite(suite)}
        assert {rival.baseline for rival in of_suite(suite)} <= names
        first = of_suite(suite)[0]
        assert first.baseline == first.name


class Swollen(TorchSparse):
    """Forms 64 MiB that nobody needs."""

    name = "swollen"

    def run(self):
        torch.ones(1 << 24)
        return super().run()


class Wrong(TorchSparse):
    """Off by a hundredth."""

    name = "wrong"

    def run(self):
        return 1.01 * super().run()


@pytest.fixture
def more_rivals(monkeypatch):
    for rival in (Swollen, Wrong):
        monkeypatch.setitem(RIVALS, rival.name, rival)


def test_measured_memory_is_what_a_call_takes(forward, more_rivals):
    measured = measure.measure(forward.folder, "swollen", 2, 100.0)
    if measured["extra_bytes"] is None:
        pytest.skip("the system does not tell")
    assert 60 << 20 < measured["extra_bytes"] < 80 << 20
    assert measured["output_bytes"] == 4 * NODES * 12
    assert measured["status"] == "ok"
    plain = measure.measure(forward.folder, "torch-sparse", 2, 100.0)
    assert plain["extra_bytes"] < 8 << 20


def test_no_further_call_begins_when_time_is_up(forward):
    timed = measure.measure(forward.folder, "torch-sparse", 4, 100.0)["seconds"]
    assert len(timed) == 4
    assert min(timed) > 0
    assert len(measure.measure(forward.folder, "torch-sparse", 4, 0.0)["seconds"]) == 1


def test_a_wrong_result_is_a_failure(forward, more_rivals):
    measured = measure.measure(forward.folder, "wrong", 1, 1.0)
    assert measured["status"] == "failed"
    assert measured["difference"] == pytest.approx(0.01, rel=0.01)
    assert "differs by 1.0e-02" in measured["reason"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (MemoryError("no room"), "out-of-memory", "MemoryError: no room"),
        (
            RuntimeError("can't allocate memory: x"),
            "out-of-memory",
            "RuntimeError: can",
        ),
        (ValueError("first\nsecond"), "failed", "ValueError: first"),
        (ImportError("faiss"), "skipped", "not installed: faiss"),
    ],
)
def test_a_rival_that_fails_has_a_result(tmp_path, monkeypatch, error, status, reason):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(measure, "measure", fail)
    options = ["--repeats=1", "--seconds=1"]
    monkeypatch.setattr("sys.argv", ["measure", str(tmp_path), "kdgraph", *options])
    assert measure.main() == 0
    found = json.loads((tmp_path / "kdgraph.json").read_text())
    assert found["status"] == status
    assert found["reason"].startswith(reason)
    assert "second" not in found["reason"]


def test_what_does_not_fit_is_skipped_before_it_runs(tmp_path, monkeypatch):
    setting = Setting("forward", "1m", *SIZES["1m"])
    messages = 2 * 4 * 25_000_000 * 128
    assert runs.needed_bytes(GCNConvEdges, setting) > messages
    monkeypatch.setattr(machine, "available_bytes", lambda: 24 << 30)
    found = runs._run_one(GCNConvEdges, setting, tmp_path, runs.Options(), {})
    assert found["status"] == "skipped"
    assert found["reason"].startswith("would need 28.7 GB of memory, 25.8 GB are free")
    monkeypatch.setattr(machine, "available_bytes", lambda: None)
    found = runs._run_one(GCNConvEdges, setting, tmp_path, runs.Options(), {})
    assert found["reason"].startswith("would write 26.1 GB beside its result")


def test_the_smallest_graph_leaves_nobody_out():
    setting = Setting("forward", "170k", *SIZES["170k"])
    for rival in of_suite("forward"):
        assert runs._too_large(rival, setting, runs.Options(), 8 << 30) == ""


def test_a_process_that_dies_has_a_result(tmp_path, monkeypatch):
    def died(code):
        return lambda *_, **__: subprocess.CompletedProcess([], code, "", "a\nb")

    for code, status in ((-9, "out-of-memory"), (-11, "failed"), (1, "failed")):
        monkeypatch.setattr(subprocess, "run", died(code))
        found = runs._run_one(TorchSparse, tiny(), tmp_path, runs.Options(), {})
        assert found == {"status": status, "reason": f"ended with code {code}: b"}


def test_runs_of_a_rival_are_merged():
    def run(*seconds):
        numbers = {"extra_bytes": int(seconds[0]), "difference": 0.1, "threads": 1}
        return {"status": "ok", "reason": "", "seconds": [*seconds]} | numbers

    merged = runs._merged(runs._merged(None, run(3.0, 4.0)), run(2.0))
    assert merged["seconds"] == [[3.0, 4.0], [2.0]]
    assert merged["extra_bytes"] == 3
    assert "reason" not in merged
    failed = {"status": "failed", "reason": "why"}
    assert runs._merged(merged, failed) == failed
    assert runs._merged(failed, run(1.0)) == failed


MACHINE = {
    "copy_bytes_per_second": 1e9,
    "multiply_adds_per_second": 1e9,
    "random_lines_per_second": {str(1 << 20): 1e6, str(1 << 24): 1e5},
}


def test_work_is_counted_by_hand():
    setting = Setting("forward", "x", 10, 100, channels=8, num_codebooks=2)
    work = RIVALS["kdgraph"].work(setting)
    assert work.bytes == 4 * 11 + 100 * (8 + 2) + 4 * 10 * 8
    assert (work.adds, work.rows, work.spread) == (800, 100, 20)
    floats = RIVALS["torch-sparse"].work(setting)
    assert floats.bytes - work.bytes == 100 * (4 * 8 - 2)
    layer = RIVALS["pyg-csr"].work(setting)
    assert layer.adds == 800 + 10 * 8 * 8
    assert layer.bytes - floats.bytes == 2 * 4 * 10 * 8
    both = RIVALS["pyg-both"].work(setting)
    assert both.adds == 2 * 800 + 3 * 640
    assert RIVALS["int8"].work(setting).moved["rows"] == 100 * (8 + 8)


def test_the_ceiling_that_binds_is_the_slowest():
    assert roof(Work(), MACHINE) is None
    found = roof(Work({"rows": 10**9}, 10**6, 10**5, 1 << 20), MACHINE)
    assert found == ("bandwidth", 1.0)
    found = roof(Work({"rows": 10**6}, 10**6, 10**5, (1 << 23) + 1), MACHINE)
    assert found == ("random reads", 1.0)
    found = roof(Work({"rows": 1}, 2 * 10**9, 10, 1 << 20), MACHINE)
    assert found == ("arithmetic", 2.0)


def test_random_reads_are_measured_at_powers_of_two():
    assert [spread_class(size) for size in (0, 4096, 4097, 1 << 20, 1 << 40)] == [
        1 << 13,
        1 << 13,
        1 << 13,
        1 << 20,
        1 << 30,
    ]
    found = machine.ceilings([1 << 13])
    assert found["random_lines_per_second"].keys() == {str(1 << 13)}
    assert found["random_lines_per_second"][str(1 << 13)] > 1e6
    # Nothing a person owns adds more slowly than it is told to here.
    assert found["multiply_adds_per_second"] > 1e8


def test_machine_says_what_it_is():
    said = machine.describe(2)
    assert said["threads"] == 2
    assert said["cores"] >= 1
    assert said["processor"]


def result(label, baseline, best, **others):
    return {
        "label": label,
        "baseline": baseline,
        "status": "ok",
        "seconds": [[best, 2 * best]],
        "best_seconds": best,
        "median_seconds": 1.5 * best,
        "first_seconds": best,
        "extra_bytes": 3 << 20,
        "output_bytes": 1 << 20,
        "difference": 1e-6,
        "input_bytes": {"table": 1 << 20, "columns": 1 << 20},
        "roof": {"binding": "bandwidth", "seconds": 0.25 * best, "fraction": 0.25},
        **others,
    }


def made_up(size="1m", again=(1.2, 1.1)):
    failed = {"label": "B", "baseline": "kdgraph", "input_bytes": {}}
    failed |= {"status": "skipped", "reason": "would need 9 GB"}
    setting = Setting("forward", size, *SIZES[size])
    rates = {"1024": 1e8}
    ceilings = {"random_lines_per_second": rates, "processor": "a processor"}
    described = {"threads": 2, "cores": 2, "caches": {"L2 unified": "1024K"}}
    described |= {"load_average": [0.5], **ceilings}
    return {
        "setting": setting.as_dict(),
        "machine": MACHINE | described,
        "versions": {"torch": "2", "torch-geometric": "3", "kdgraph": "1"},
        "git": "abc",
        "backend": "native",
        "again_seconds": list(again),
        "rivals": {
            "kdgraph": result("K", "kdgraph", 1.0),
            "torch-sparse": result("A", "kdgraph", 2.5),
            "decode": failed,
            "pyg-csr": result("L", "kdgraph-layer", 3.0, extra_bytes=None, roof=None),
            "kdgraph-layer": failed | {"label": "M"},
        },
    }


def test_row_has_ratio_and_memory():
    first, second, failed, layer, _ = table.rows(made_up())
    assert (first.ratio, second.ratio) == (1.0, 2.5)
    assert second.memory == 6 << 20
    assert second.cells == (
        *("A", "2.5", "3.75", "2", "2.50", "2", "3", "25 %, bandwidth", "1e-06"),
    )
    assert failed.cells[:3] == ("B", "skipped", "-")
    assert (failed.ratio, failed.memory, failed.reason) == (
        None,
        None,
        "would need 9 GB",
    )
    assert layer.cells[4:] == ("-", "2", "-", "-", "1e-06")


def test_printed_table_is_aligned_and_says_what_went_wrong():
    lines = table.text(made_up()).splitlines()
    assert lines[0].startswith("forward: 1,000,000 nodes, 25,000,000 edges, uniform")
    assert len({len(line) for line in lines[2:8]}) == 1
    assert "B: would need 9 GB" in lines
    assert lines[-1] == "K, once more at the end: +10%"
    assert table.drift(made_up(again=())) is None


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """A way to keep results that nobody measured."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "FIGURE", tmp_path / "figure.svg")
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    readme = tmp_path / "readme.md"
    readme.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    monkeypatch.setattr(report, "README", readme)

    def keep(record):
        name = Setting(**record["setting"]).name
        (tmp_path / f"{name}.json").write_text(json.dumps(record))

    return keep


def test_page_is_up_to_date():
    assert report.PAGE.read_text() == report.render()


def test_readme_table_is_up_to_date():
    text = README.read_text()
    assert text == with_speed(text, report.records())


def test_readme_table_tells_times_and_ratios():
    shown = with_speed("<!-- speed -->\n<!-- /speed -->", report.records())
    path = report.RESULTS / "gather-2.4m-uniform-c128.json"
    rivals = json.loads(path.read_text())["rivals"]
    own, other = (
        rivals[name]["best_seconds"] for name in ("kdgraph-gather", "embedding")
    )
    assert (
        f"| rows of nodes | 1 M of 2.4 M nodes | {own:.2g} s | `nn.Embedding`: "
        f"{other / own:.1f} times as long |"
    ) in shown


def test_results_are_named_after_their_settings():
    for path in report.RESULTS.glob("*.json"):
        record = json.loads(path.read_text())
        assert Setting(**record["setting"]).name == path.stem
        suite = record["setting"]["suite"]
        assert record["rivals"].keys() == {rival.name for rival in of_suite(suite)}


def test_figure_shows_the_results():
    figure = pytest.importorskip("benchmarks.message_passing.figure")
    curves = figure.collect(report.records())
    assert report.FIGURE.exists() == bool(curves)
    if curves:
        assert figure.digest(curves) in report.FIGURE.read_text()


def test_page_has_a_section_per_result(keep):
    assert report.render().endswith("There are no results yet.\n")
    keep(made_up("1m"))
    keep(made_up("170k"))
    page = report.render()
    smaller, larger = page.index("170,000 nodes"), page.index("1,000,000 nodes")
    assert smaller < larger
    assert "| A | 2.5 | 3.75 | 2 | 2.50 |" in page
    assert "- *B* skipped: would need 9 GB" in page
    assert "2 threads on 2 cores of a processor (L2 unified 1024K)" in page
    assert "![" not in page


def test_figure_is_the_same_twice(keep, monkeypatch):
    pytest.importorskip("matplotlib")
    assert not report.write_figure()
    keep(made_up("1m"))
    keep(made_up("170k"))
    drawn = []
    for _ in range(2):
        assert report.write_figure()
        drawn.append(report.FIGURE.read_text())
    assert drawn[0] == drawn[1]
    assert "<dc:date>" not in drawn[0]
    assert "![" in report.render()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not report.write_figure()


def test_figure_has_nanoseconds_per_edge(keep):
    figure = pytest.importorskip("benchmarks.message_passing.figure")
    keep(made_up("1m"))
    keep(made_up("170k"))
    curves = {curve.name: curve for curve in figure.collect(report.records())}
    assert curves.keys() == {"kdgraph", "torch-sparse", "pyg-csr"}
    assert curves["torch-sparse"].edges == (2_400_000, 25_000_000)
    assert curves["torch-sparse"].nanoseconds == pytest.approx((2.5e9 / 2.4e6, 100))
    assert curves["pyg-csr"].memory == (None, None)
    assert figure.digest(list(curves.values())) != figure.digest([])


def test_everyone_in_the_figure_has_a_look_of_their_own():
    figure = pytest.importorskip("benchmarks.message_passing.figure")
    assert figure.STYLES.keys() == {rival.name for rival in of_suite("forward")}
    looks = figure.STYLES.values()
    assert len({look.marker for look in looks}) == len(looks)


def test_report_command_says_where_the_page_is(keep, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["message_passing", "report"])
    assert command_line.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("no figure was drawn")
    assert said[1] == str(report.PAGE)
    assert "There are no results yet." in report.PAGE.read_text()
    kept = report.README.read_text()
    assert kept.startswith("before\n")
    assert kept.endswith("after\n")
    assert "old" not in kept


def test_a_result_is_not_overwritten(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "forward-tiny-power-law-c64.json"
    kept.write_text("{}")
    given = ["--size", "tiny", "--results", str(tmp_path), "--degrees", "power-law"]
    given += ["--channels", "64"]
    arguments = command_line._parser().parse_args(given)
    (setting,) = command_line._settings(arguments)
    path = command_line._path(arguments, setting)
    assert path == tmp_path / "again" / kept.name
    assert "there is a result, which is kept" in capsys.readouterr().out
    arguments = command_line._parser().parse_args([*given, "--force"])
    assert command_line._path(arguments, setting) == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --size arxiv", "is for epoch"),
        ("epoch --size 10m", "epoch expects --size arxiv or 170k"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message, monkeypatch):
    monkeypatch.setattr("sys.argv", ["message_passing", *arguments.split()])
    with pytest.raises(SystemExit, match=message):
        command_line.main()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"codebook_size": 257}, "codebook_size lies in"),
        ({"codebook_size": 1}, "codebook_size lies in"),
        ({"num_codebooks": 5}, "multiple of num_codebooks, got 12 and 5"),
        ({"num_codebooks": 0}, "multiple of num_codebooks, got 12 and 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**sizes)


def test_names_tell_settings_apart():
    assert Setting("both", "1m", 1, 1).name == "both-1m-uniform-c128"
    assert tiny(degrees="power-law").name == "forward-tiny-power-law-c12-d3-k16"


@pytest.mark.slow  # six processes, each of which imports torch
def test_the_command_writes_a_record(tmp_path):
    command = "-m benchmarks.message_passing gather --size tiny --repeats 2 --threads 1"
    done = subprocess.run(
        [sys.executable, *command.split(), f"--results={tmp_path}"],
        check=True,
        capture_output=True,
        text=True,
    )
    (path,) = tmp_path.iterdir()
    assert path.name == "gather-tiny-uniform-c128.json"
    assert done.stdout.rstrip().endswith(str(path))
    record = json.loads(path.read_text())
    assert record["backend"] in ("native", "reference")
    assert record["machine"]["copy_bytes_per_second"] > 1e8
    coded, floats = (record["rivals"][name] for name in ("kdgraph-gather", "embedding"))
    assert coded["difference"] == floats["difference"] == 0
    assert coded["threads"] == 1
    assert [len(run) for run in coded["seconds"]] == [2]
    assert 0 < coded["best_seconds"] <= coded["median_seconds"]
    assert coded["input_bytes"]["codes"] == 2000 * 16
    assert record["again_seconds"]
    assert table.rows(record)[1].ratio == pytest.approx(
        floats["best_seconds"] / coded["best_seconds"]
    )


def test_aggregation_reads_more_of_wider_edges():
    narrow, wide = (aggregation(tiny(), 16, edge=edge) for edge in (8, 20))
    assert wide.bytes - narrow.bytes == 12 * EDGES
