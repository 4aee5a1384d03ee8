"""The large graph is what it says, both samplers draw it, and the page is current."""

import json

import numpy as np
import pytest
import torch

from benchmarks import process
from benchmarks.clock import Clock
from benchmarks.power_law import COMMUNITY, PowerLaw
from benchmarks.scale import __main__ as command_line
from benchmarks.scale import codes, measure, report, runs, sample, table, train
from benchmarks.scale.generate import NUM_CLASSES, generate
from benchmarks.scale.graph import open_graph
from benchmarks.scale.naive import NaiveSampler
from benchmarks.scale.setting import Setting, node_count
from kdgraph.data.npz import load_npz
from kdgraph.ops import sample_neighbors

NODES = 3000


def tiny(**others):
    values = {"num_codebooks": 4, "codebook_size": 8, "channels": 8, "batch_size": 32}
    values |= {"batches": 3, "warm_up": 1, "rounds": 2, "threads": 1}
    values["memory"] = 2 << 20
    return Setting(NODES, **values | others)


@pytest.fixture
def clock():
    return Clock(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared graph, made by the tasks themselves."""
    made = tmp_path_factory.mktemp("scale")
    tiny().save(made)
    for task in ("draw", "prepare"):
        found = measure.measure(made, task)
        (made / f"{task}.json").write_text(json.dumps(found))
    return made


def written(folder, name):
    with np.load(folder / "edges.npz") as arrays:
        return arrays[name]


def test_groups_draw_the_same_graph_as_one():
    graph = PowerLaw(10 * COMMUNITY, np.random.default_rng(0))
    groups = list(graph.groups(40_000, 2 * COMMUNITY))
    assert len(groups) == 5
    keys = np.concatenate(groups)
    assert len(keys) == 40_000
    assert len(np.unique(keys)) > 39_900
    place = np.argsort(graph.order)
    one, other = keys // 10_000, keys % 10_000
    assert (one < other).all()
    for number, part in enumerate(groups):
        ends = np.stack([place[part // 10_000], place[part % 10_000]]) // 2000
        assert (ends == number).any(axis=0).all()
        assert len(np.unique(part)) == len(part)
        assert (np.diff(part) < 0).any()
    # Seven of ten inside, and a tenth of the others by chance.
    inside = (place[one] // COMMUNITY == place[other] // COMMUNITY).mean()
    assert inside == pytest.approx(0.73, abs=0.02)
    whole = graph.edges(40_000)
    degrees = [
        np.sort(np.bincount(np.r_[k // 10_000, k % 10_000], minlength=10_000))
        for k in (keys, whole)
    ]
    np.testing.assert_allclose(degrees[0][:9_900], degrees[1][:9_900], atol=3)


def test_every_edge_is_listed_once_as_prepare_reads_it(folder):
    edges = written(folder, "edge_index")
    assert edges.dtype == np.int64
    assert edges.shape == (2, 10 * NODES)
    graph = load_npz(folder / "edges.npz")
    assert graph.num_nodes == NODES
    assert graph.num_edges == 2 * edges.shape[1]
    assert not (edges[0] == edges[1]).any()
    degree = np.diff(graph.adj.indptr)
    assert degree.max() > 10 * np.median(degree)
    mapped = open_graph(folder / "graph")
    np.testing.assert_array_equal(mapped.col.numpy(), graph.adj.indices)
    np.testing.assert_array_equal(mapped.rowptr.numpy(), graph.adj.indptr)
    assert torch.equal(mapped.y, graph.y)
    assert mapped.nbytes == 4 * (NODES + 1 + 20 * NODES) + 8 * NODES + 8 * 300


def test_classes_follow_neighbours_and_splits_are_small(folder):
    y, edges = written(folder, "y"), written(folder, "edge_index")
    assert 0 <= y.min() <= y.max() < NUM_CLASSES
    same = (y[edges[0]] == y[edges[1]]).mean()
    assert same > 3 * (np.bincount(y) / NODES).max() ** 2
    assert same > 0.3
    splits = [written(folder, f"{name}_idx") for name in ("train", "valid", "test")]
    assert [len(split) for split in splits] == [300, 30, 30]
    assert len(np.unique(np.concatenate(splits))) == 360


def test_the_seed_decides(folder, tmp_path, clock):
    for name, seed in (("same", 0), ("other", 1)):
        generate(tmp_path / f"{name}.npz", NODES, 10 * NODES, seed, clock)
    assert (tmp_path / "same.npz").read_bytes() == (folder / "edges.npz").read_bytes()
    assert (tmp_path / "other.npz").read_bytes() != (folder / "edges.npz").read_bytes()
    assert not list(folder.glob("*.partial"))


def test_preparing_is_described(folder):
    found = json.loads((folder / "prepare.json").read_text())
    assert found["status"] == "ok"
    assert found["edges_read"] == 10 * NODES
    assert found["entries"] == 20 * NODES
    assert found["repeated"] == 0
    files = (folder / "graph").glob("*.npy")
    assert found["disk_bytes"] == sum(path.stat().st_size for path in files)
    assert sum(found["stages"].values()) <= found["seconds"] + 1e-3
    assert found["peak_rss_bytes"] > 1 << 20


def edges_of(drawn):
    return torch.stack([drawn.node[drawn.row], drawn.node[drawn.col]])


def test_naive_sampler_draws_edges_of_the_graph_without_repeating(folder):
    graph = open_graph(folder / "graph")
    naive = NaiveSampler(graph.rowptr, graph.col)
    torch.manual_seed(0)
    for seeds in (torch.arange(40), torch.tensor([7]), torch.arange(0)):
        drawn = naive(seeds, (5, 3))
        own = sample_neighbors(graph.rowptr, graph.col, seeds, (5, 3))
        assert torch.equal(drawn.node[: len(seeds)], seeds)
        assert drawn.node.unique().numel() == drawn.node.numel()
        assert sum(drawn.num_nodes) == drawn.node.numel()
        assert sum(drawn.num_edges) == drawn.row.numel()
        # As many of the seeds' own as there are, up to five.
        assert drawn.num_edges[0] == own.num_edges[0]
        assert drawn.edge.unique().numel() == drawn.edge.numel()
        source, target = edges_of(drawn)
        assert torch.equal(graph.col[drawn.edge], source.to(graph.col.dtype))
        assert (graph.rowptr[target] <= drawn.edge).all()
        assert (drawn.edge < graph.rowptr[target + 1]).all()


def test_naive_sampler_takes_all_sets_of_neighbours_as_often():
    rowptr, col = torch.tensor([0, 4, 4, 4, 4, 4]), torch.tensor([1, 2, 3, 4])
    naive = NaiveSampler(rowptr, col)
    torch.manual_seed(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        drawn = naive(torch.tensor([0]), (2,))
        pair = tuple(sorted(drawn.node[1:].tolist()))
        counts[pair] = counts.get(pair, 0) + 1
    assert len(counts) == 6
    assert min(counts.values()) > 150
    assert max(counts.values()) < 250


def test_all_neighbours_are_what_kdgraph_draws(folder):
    graph = open_graph(folder / "graph")
    naive = NaiveSampler(graph.rowptr, graph.col)
    seeds, many = torch.tensor([5, 17, 2]), (3000, 3000)
    drawn = naive(seeds, many)
    own = sample_neighbors(graph.rowptr, graph.col, seeds, many)
    assert drawn.num_edges == own.num_edges
    assert drawn.num_nodes == own.num_nodes
    assert torch.equal(drawn.edge.sort().values, own.edge.sort().values)
    pairs = [{*map(tuple, edges_of(one).T.tolist())} for one in (drawn, own)]
    assert pairs[0] == pairs[1]


def test_samplers_are_timed_in_turn(folder, clock, monkeypatch):
    monkeypatch.setattr(sample, "_SECONDS", 0.0)
    monkeypatch.setattr(sample, "FANOUTS", ((3, 2),))
    sizes = {"170k": (500, 4000)}
    monkeypatch.setattr(sample, "SIZES", sizes)
    found = sample.sample(tiny(threads=2), folder, clock)
    kinds = [(row["graph"], row["threads"], row["sampler"]) for row in found["rows"]]
    assert len(set(kinds)) == len(kinds) == 2 * 2 * len(sample.SAMPLERS)
    for row in found["rows"]:
        assert 32 < row["edges_per_batch"] <= 32 * (3 + 3 * 2)
        assert row["edges_per_second"] >= row["median_edges_per_second"] > 0


def test_codes_are_read_back_as_they_were_made(folder, clock, tmp_path):
    found = codes.codes(tiny(), folder, clock)
    made, which = codes.read_codes(tiny(), folder)
    assert which == found["recipe"] == "spectral:4x8"
    assert made.codebook_sizes == (8, 8, 8, 8)
    assert found["code_bytes"] == made.nbytes == 2 * NODES
    edges = written(folder, "edge_index")
    one, other = (made.codes(torch.from_numpy(ends)) for ends in edges)
    shuffled = other[torch.randperm(len(other))]
    assert (one == other).double().mean() > 1.2 * (one == shuffled).double().mean()
    drawn, which = codes.read_codes(tiny(codes="random"), folder)
    assert which == "random"
    assert not torch.equal(drawn.packed, made.packed)
    other, which = codes.read_codes(tiny(), tmp_path)
    assert which == "random"
    assert torch.equal(other.packed, drawn.packed)


@pytest.mark.parametrize("kind", train.METHODS)
def test_training_learns_and_is_timed(folder, kind, clock):
    setting = tiny(codes="random", batches=30, channels=16)
    found = train.train(setting, folder, clock, kind)
    assert found["loss"][1] < 0.9 * found["loss"][0]
    assert found["seconds_per_1000"] < 1000 * clock.seconds["training"]
    assert 32 < found["nodes_per_batch"] < NODES
    assert found["edges_per_batch"] <= 32 * 15 * 11
    if kind == "table":
        assert found["encoder_training_bytes"] == 12 * NODES * 16
    else:
        # Codes, offsets, and codebooks with their gradients and Adam's two moments.
        assert found["encoder_training_bytes"] == 2 * NODES + 4 * 8 + 16 * 8 * 16


def test_all_nodes_are_scored(folder, clock):
    found = train.infer(tiny(codes="random", channels=16), folder, clock)
    assert found["nodes_per_second"] * found["seconds"] == pytest.approx(NODES)
    assert 0 < found["nodes_of_some"] < NODES


def test_numbers_of_nodes_are_read_and_written():
    for text, count in (("10m", 10_000_000), ("20k", 20_000), ("1234", 1234)):
        assert node_count(text) == count
        assert Setting(count).size == text
    assert node_count(" 2M ") == 2_000_000
    for wrong in ("", "m", "0", "1g", "-5", "1.5m"):
        with pytest.raises(ValueError, match="written like 10m"):
            node_count(wrong)


def test_sizes_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batches of at least 1, got 0"):
        Setting(10, batches=0)
    with pytest.raises(ValueError, match="num_neighbors of at least 1, got"):
        Setting(10, num_neighbors=(5, 0))
    setting = tiny(num_neighbors=(4, 2, 1))
    setting.save(tmp_path)
    assert Setting.load(tmp_path) == setting


def fake_run(calls, failing=()):
    def run(command, written, *, environment, timeout, shown):
        task = command[3]
        calls.append((written.parent.name, task, environment["OMP_NUM_THREADS"]))
        if task in failing:
            return {"status": "out-of-memory", "reason": "no room"}
        if task == "draw":
            (written.parent / "edges.npz").touch()
        if task == "prepare":
            (written.parent / "graph").mkdir()
            (written.parent / "graph" / "meta.json").touch()
        seconds = {"train": 2.0, "table": 5.0}.get(task, 1.0)
        numbers = {"seconds_per_1000": seconds, "peak_rss_bytes": 1 << 30}
        return {"status": "ok", **numbers}

    return run


def test_steps_make_what_is_missing_and_take_turns(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "run_process", fake_run(calls))
    setting = tiny(threads=2)
    folder = runs.graph_folder(tmp_path, setting)
    record = runs.run_step("table", setting, folder, 60.0)
    tasks = [task for _, task, _ in calls]
    assert tasks == ["draw", "prepare", "train", "table", "train", "table"]
    assert {threads for *_, threads in calls} == {"2"}
    assert [len(found) for found in record["runs"].values()] == [2, 2]
    assert record["setting"]["num_edges"] == 10 * NODES
    assert "the table takes 2.50 times as long" in table.notes(record)
    del calls[:]
    runs.run_step("train", setting, folder, 60.0)
    assert [task for _, task, _ in calls] == ["train"]


def test_a_step_that_fails_has_a_result(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "run_process", fake_run(calls, failing=["table"]))
    setting = tiny()
    folder = runs.graph_folder(tmp_path, setting)
    record = runs.run_step("table", setting, folder, 60.0)
    assert [task for _, task, _ in calls].count("table") == 1
    assert "table: out-of-memory, no room" in table.notes(record)
    monkeypatch.setattr(runs, "run_process", fake_run(calls, failing=["prepare"]))
    other = runs.graph_folder(tmp_path, tiny(seed=1))
    record = runs.run_step("sample", tiny(seed=1), other, 60.0)
    assert record["runs"]["sample"] == [
        {"status": "out-of-memory", "reason": "no room"}
    ]


def test_sizes_take_turns(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "run_process", fake_run(calls))
    settings = [Setting(nodes, rounds=2) for nodes in (1000, 2000)]
    record = runs.run_growth(settings, tmp_path, 60.0)
    trained = [folder for folder, task, _ in calls if task == "train"]
    assert trained == ["1k-0", "2k-0", "1k-0", "2k-0"]
    assert [found[0]["num_nodes"] for found in record["runs"].values()] == [1000, 2000]


def test_results_are_kept_unless_forced(tmp_path, monkeypatch, capsys):
    seconds = iter((1.0, 2.0, 3.0))

    def run_step(step, setting, folder, timeout):
        found = prepared(seconds=next(seconds))
        return made_up(step, {"prepare": [found]})

    monkeypatch.setattr(command_line, "run_step", run_step)
    arguments = ["scale", "--nodes=3k", "--steps=prepare", f"--results={tmp_path}"]
    monkeypatch.setattr("sys.argv", arguments)
    assert command_line.main() == 0
    path = tmp_path / "prepare-3k.json"
    assert json.loads(path.read_text())["runs"]["prepare"][0]["seconds"] == 1.0
    with pytest.raises(SystemExit, match="holds prepare-3k already; --force"):
        command_line.main()
    monkeypatch.setattr("sys.argv", [*arguments, "--force"])
    assert command_line.main() == 0
    assert json.loads(path.read_text())["runs"]["prepare"][0]["seconds"] == 2.0
    for wrong, said in (("--steps=fly", "no step"), ("--nodes=1g", "written like")):
        monkeypatch.setattr("sys.argv", ["scale", wrong])
        with pytest.raises(SystemExit):
            command_line.main()
        assert said in capsys.readouterr().err


def prepared(**others):
    return {
        "status": "ok",
        "edges_read": 30_000,
        "entries": 60_000,
        "seconds": 1.25,
        "input_bytes": 1 << 30,
        "disk_bytes": 1 << 29,
        "peak_rss_bytes": 3 << 29,
        **others,
    }


def made_up(step, of_tasks):
    machine = {"threads": 2, "cores": 2, "processor": "P", "load_average": [0.5]}
    return {
        "step": step,
        "setting": tiny().as_dict(),
        "machine": machine,
        "versions": {"torch": "2", "torch-geometric": "3", "kdgraph": "1"},
        "git": "abc",
        "backend": "native",
        "runs": of_tasks,
    }


def test_table_shows_the_middle_run_and_the_largest_peak():
    common = {"status": "ok", "codes": "random", "encoder": "codes"}
    common |= {"median_seconds_per_1000": 1}
    common |= {"nodes_per_batch": 5.0, "edges_per_batch": 9.0}
    common["encoder_training_bytes"] = 1 << 20
    taken = [
        common | {"seconds_per_1000": seconds, "peak_rss_bytes": peak << 30}
        for seconds, peak in ((30.0, 1), (10.0, 3), (20.0, 2))
    ]
    head, row = table.rows(made_up("train", {"train": taken}))
    cells = dict(zip(head, row, strict=True))
    assert cells["s per 1,000 batches"] == "20.0"
    assert cells["peak, GiB"] == "3.00"
    assert cells["encoder, MiB"] == "1"


def test_text_and_page_say_the_same():
    record = made_up("prepare", {"prepare": [prepared()]})
    assert "1.2" in table.text(record)
    section = report._section(record)
    assert section.startswith("## Prepare: 3,000 nodes, 30,000 undirected edges")
    assert "| 30,000 | 60,000 | 1.2 | 1.00 | 0.50 | 1.50 |" in section
    assert "2 threads on 2 cores of P, load 0.5" in section


def test_page_is_what_the_results_say():
    assert report.PAGE.read_text() == report.render(), (
        "docs/benchmarks/scale.md is older than the results: run "
        "python -m benchmarks.scale report"
    )


def test_a_process_shows_what_it_prints_or_keeps_it(tmp_path, capfd):
    written = tmp_path / "result.json"
    code = "import sys; print('said'); sys.exit(3)"
    for shown in (True, False):
        found = process.run_process(
            ["-c", code], written, environment={}, timeout=60.0, shown=shown
        )
        assert found == {"status": "failed", "reason": "ended with code 3"}
        assert ("said" in capfd.readouterr().out) == shown
    late = "import time; time.sleep(60)"
    found = process.run_process(["-c", late], written, environment={}, timeout=0.1)
    assert found["reason"] == "was not done after 0.1 seconds"


@pytest.mark.slow  # processes, each of which imports torch
def test_the_command_does_every_step(tmp_path, monkeypatch):
    results, scratch = f"--results={tmp_path / 'r'}", f"--scratch={tmp_path / 's'}"
    options = ["--nodes=3k", "--batches=2", "--threads=1", "--steps=prepare,train"]
    monkeypatch.setattr("sys.argv", ["scale", *options, results, scratch])
    assert command_line.main() == 0
    for path in (tmp_path / "r").iterdir():
        for found in json.loads(path.read_text())["runs"].values():
            assert [run["status"] for run in found] == ["ok"]
    names = {path.stem for path in (tmp_path / "r").iterdir()}
    assert names == {"prepare-3k", "train-3k"}
