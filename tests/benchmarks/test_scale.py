"""The large graph is what it says, both samplers draw it, and the page is current."""

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from benchmarks import process
from benchmarks.clock import Clock
from benchmarks.power_law import COMMUNITY, PowerLaw
from benchmarks.readme import README
from benchmarks.scale import __main__ as command_line
from benchmarks.scale import (
    codes,
    costs,
    exchange,
    measure,
    report,
    runs,
    sample,
    table,
    train,
)
from benchmarks.scale.generate import NUM_CLASSES, generate
from benchmarks.scale.graph import open_graph
from benchmarks.scale.naive import NaiveSampler
from benchmarks.scale.readme import with_scale
from benchmarks.scale.setting import Setting, node_count
from benchmarks.scale.sharded import ShardedTable
from kdgraph.baselines import FullEmbedding
from kdgraph.data.npz import load_npz
from kdgraph.ops import sample_neighbors
from kdgraph.training.ranks import Ranks

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
    # Every tenth batch has the twelve nodes that are left of three hundred.
    assert found["seeds_per_batch"] == 30
    assert found["sent_bytes_per_batch"] == 0
    # GraphSAGE of 16 channels: two matrices and a bias in each of its layers.
    averaged = 4 * (16 * (2 * 16 + 1) + NUM_CLASSES * (2 * 16 + 1))
    if kind != "codes":
        assert found["averaged_bytes"] == averaged
        assert found["encoder_training_bytes"] == 12 * NODES * 16
    else:
        assert found["averaged_bytes"] == averaged + 4 * 8 * 16
        # Codes, offsets, and codebooks with their gradients and Adam's two moments.
        assert found["encoder_training_bytes"] == 2 * NODES + 4 * 8 + 16 * 8 * 16


def test_a_table_in_parts_is_drawn_and_trained_as_a_whole(monkeypatch):
    monkeypatch.setattr("torch.distributed.new_group", lambda: None)
    torch.manual_seed(0)
    whole = FullEmbedding(11, 4, sparse=True)
    for size in (1, 2, 3):
        parts = []
        for rank in range(size):
            torch.manual_seed(0)
            parts.append(ShardedTable(11, 4, FakeRanks(rank, size)).shard)
        assert torch.equal(torch.cat(parts).detach(), whole.weight.detach())
    torch.manual_seed(0)
    table = ShardedTable(11, 4, Ranks())
    n_id = torch.tensor([[7, 0], [3, 7]])
    for encoder in (whole, table):
        encoder(n_id).pow(2).sum().backward()
    assert torch.equal(table(n_id), whole(n_id))
    assert torch.equal(table.shard.grad.to_dense(), whole.weight.grad.to_dense())
    assert table(n_id[:, :0]).shape == (2, 0, 4)
    assert torch.equal(table(), whole())
    assert list(table.parameters()) == []
    with pytest.raises(IndexError, match=r"node ids in \[0, 11\)"):
        table(torch.tensor([11]))


class FakeRanks(Ranks):
    def __init__(self, rank, size):
        super().__init__()
        self.rank, self.size = rank, size


@pytest.mark.parametrize("size", [2, 3, 13])
def test_rows_come_from_their_owners_and_gradients_go_there(size, monkeypatch):
    """Processes are threads here; of thirteen some own none of the eleven rows."""
    barrier, sent = threading.Barrier(size, timeout=60.0), {}

    def all_to_all(found, values, takes, gives, group):
        sent[group] = values.detach().split(gives)
        barrier.wait()
        received = [sent[rank][group] for rank in range(size)]
        assert [len(one) for one in received] == takes
        found.copy_(torch.cat(received))
        barrier.wait()

    monkeypatch.setattr("torch.distributed.all_to_all_single", all_to_all)
    torch.manual_seed(0)
    whole = FullEmbedding(11, 4)
    n_ids = [torch.randint(11, (rank + 4,)) for rank in range(size)]
    n_ids[-1] = n_ids[-1][:0]
    tables = []
    for rank in range(size):
        monkeypatch.setattr("torch.distributed.new_group", lambda rank=rank: rank)
        torch.manual_seed(0)
        tables.append(ShardedTable(11, 4, FakeRanks(rank, size)))

    def learn(rank):
        rows = tables[rank](n_ids[rank])
        torch.testing.assert_close(rows, whole(n_ids[rank]), rtol=0, atol=0)
        (rows.pow(2).sum() * (rank + 1)).backward()

    with ThreadPoolExecutor(size) as pool:
        list(pool.map(learn, range(size)))
    losses = [whole(n_ids[r]).pow(2).sum() * (r + 1) for r in range(size)]
    torch.stack(losses).mean().backward()
    gradient = torch.cat([table.shard.grad.to_dense() for table in tables])
    torch.testing.assert_close(gradient, whole.weight.grad)
    # Counts and ids of 8 bytes, vectors there and gradients back.
    remote = 0
    for rank, n_id in enumerate(n_ids):
        start, end = rank * 11 // size, (rank + 1) * 11 // size
        remote += int(((n_id < start) | (n_id >= end)).sum())
    given = sum(table.ranks.sent for table in tables)
    assert given == 8 * size * (size - 1) + remote * (8 + 2 * 4 * 4)


@pytest.fixture
def forked(monkeypatch):
    """Processes that need not import what the first of them has."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.scale.exchange"])
    monkeypatch.setattr(exchange, "START", "forkserver")


def test_two_processes_train_as_said_and_give_what_the_formula_says(
    folder, clock, forked
):
    # More batches than an epoch has, and nodes that both need.
    setting = tiny(codes="random", batches=12, channels=16)
    layouts = exchange.LAYOUTS
    coded, parts = (
        exchange.exchange(setting, folder, clock, layouts[name])
        for name in ("codes-2x1", "sharded-2x1")
    )
    copies = exchange.in_processes(2, train.train, setting, folder, "table")
    assert copies[0]["loss"] == copies[1]["loss"]
    assert parts["loss"] == pytest.approx(copies[0]["loss"], rel=1e-5)
    assert parts["loss"][1] < 0.95 * parts["loss"][0]
    nodes = sum(one["nodes_per_batch"] for one in copies)
    assert parts["nodes_per_batch"] == coded["nodes_per_batch"] == nodes
    assert parts["nodes_per_process"] == nodes / 2
    sent = coded["sent_bytes_per_batch"]
    assert sent == coded["formula_bytes_per_batch"] == coded["averaged_bytes"] + 8
    # Which of the rows are its own is by chance.
    formula = parts["formula_bytes_per_batch"]
    assert parts["sent_bytes_per_batch"] == pytest.approx(formula, rel=0.02)
    rows = nodes / 2 / 2 * (8 + 8 * 16)
    assert formula == parts["averaged_bytes"] + 8 + rows + 8
    for found in (coded, parts):
        assert (found["processes"], found["threads"]) == (2, 1)
        seconds = found["seconds_per_1000"] / 1000
        seeds = found["training_nodes_per_second"] * seconds
        assert seeds == pytest.approx((11 * 32 + 12) / 12)
    assert 2 * parts["encoder_training_bytes"] == copies[0]["encoder_training_bytes"]


def test_what_fails_in_a_process_is_told(tmp_path, forked):
    with pytest.raises(RuntimeError, match=r"^\w+Error: .*graph"):
        exchange.in_processes(1, train.train, tiny(), tmp_path, "sharded")


def test_one_process_gives_nothing(folder, clock):
    setting = tiny(codes="random", threads=2)
    found = exchange.exchange(setting, folder, clock, exchange.LAYOUTS["codes-1x1"])
    assert found["sent_bytes_per_batch"] == found["formula_bytes_per_batch"] == 0
    assert found["nodes_per_process"] == found["nodes_per_batch"]
    assert found["peak_rss_bytes"] > 1 << 20
    assert torch.get_num_threads() == found["threads"] == 1


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
        assert written.name == f"{task}.json"
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


def test_processes_that_exchange_have_threads_and_memory_of_their_own(
    tmp_path, monkeypatch
):
    given = {}

    def run(command, written, *, environment, **others):
        memory = [int(word.removeprefix("--memory=")) for word in command[4:]]
        given[command[3]] = int(environment["OMP_NUM_THREADS"]), memory
        return {"status": "failed", "reason": "none"}

    monkeypatch.setattr(runs, "run_process", run)
    monkeypatch.setattr(runs.machine, "available_bytes", lambda: 1000)
    folder = runs.graph_folder(tmp_path, tiny())
    (folder / "graph").mkdir()
    (folder / "graph" / "meta.json").touch()
    runs.run_step("exchange", tiny(threads=3), folder, 60.0)
    assert given == {
        "codes-1x1": (1, [1000]),
        "codes-1x2": (2, [1000]),
        "codes-2x1": (1, [500]),
        "sharded-2x1": (1, [500]),
    }


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


def exchanged(kind, processes, threads, seconds, sent):
    return {
        "status": "ok",
        "encoder": kind,
        "codes": "random" if kind == "codes" else kind,
        "processes": processes,
        "threads": threads,
        "seconds_per_1000": seconds,
        "median_seconds_per_1000": seconds,
        "training_nodes_per_second": 1e6 / seconds,
        "nodes_per_process": 2000.0,
        "sent_bytes_per_batch": sent,
        "formula_bytes_per_batch": sent + 512.0,
        "encoder_training_bytes": 1 << 20,
        "peak_rss_bytes": 1 << 30,
    }


def test_exchange_says_how_fast_processes_are_and_what_they_give():
    of_tasks = {
        "codes-1x1": [exchanged("codes", 1, 1, 30.0, 0.0)],
        "codes-1x2": [exchanged("codes", 1, 2, 22.0, 0.0)],
        "codes-2x1": [exchanged("codes", 2, 1, 20.0, 2048.0)],
        "sharded-2x1": [exchanged("sharded", 2, 1, 50.0, 20480.0)],
    }
    record = made_up("exchange", of_tasks)
    section = report._section(record)
    row = "float table in parts | 2 | 1 | 50.0 | 50.0 | 20,000 | 2,000 | 20.0 | 20.5 |"
    assert row in section
    assert section.splitlines()[-1].startswith("2 cores of P")
    assert table.notes(record) == [
        "two processes with codes are 1.50 times as fast as one with a thread",
        "two processes with codes are 1.10 times as fast as one with 2 threads",
        (
            "with the table in parts a process gives 10.0 times as many bytes, and a "
            "batch takes 2.50 times as long"
        ),
    ]
    failed = {"status": "failed", "reason": "gone"}
    record["runs"]["codes-2x1"] = [failed]
    assert table.notes(record) == ["codes-2x1: failed, gone"]


def test_text_and_page_say_the_same():
    record = made_up("prepare", {"prepare": [prepared()]})
    assert "1.2" in table.text(record)
    section = report._section(record)
    assert section.startswith("## Prepare: 3,000 nodes, 30,000 undirected edges")
    assert "| 30,000 | 60,000 | 1.2 | 1.00 | 0.50 | 1.50 |" in section
    assert "2 threads on 2 cores of P, load 0.5" in section


def test_costs_of_the_plan_are_what_the_results_say():
    kept = json.loads(costs.FILE.read_text())
    assert kept == costs.costs()
    (run,) = json.loads((report.RESULTS / "prepare-10m.json").read_text())["runs"][
        "prepare"
    ]
    seconds = kept["prepare_seconds"] * run["entries"]
    assert seconds == pytest.approx(run["seconds"], rel=0.01)


def test_readme_is_what_the_results_say():
    readme = README.read_text()
    assert with_scale(readme, report.records()) == readme, (
        "README.md is older than the results: run python -m benchmarks.scale report"
    )


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
