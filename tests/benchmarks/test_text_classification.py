"""Sentences: parsing, vocabulary, padding, encoders, and the page."""

import json
import math

import pytest
import torch

from benchmarks.harness.experiment import load_experiments
from benchmarks.text_classification import page
from benchmarks.text_classification.corpus import (
    DATASETS,
    Sentence,
    load_corpus,
    read_sentences,
)
from benchmarks.text_classification.network import SentenceClassifier
from benchmarks.text_classification.task import run, validate
from benchmarks.text_classification.teacher import Teacher
from benchmarks.text_classification.vocabulary import UNKNOWN, Batch, Part, Vocabulary
from benchmarks.text_classification.word_vectors import cooccurrence_vectors
from kdgraph.baselines import FullEmbedding
from kdgraph.codes import residual_quantize

GOOD, BAD = ("good", "fine", "great", "warm"), ("bad", "dull", "poor", "cold")


def line(number):
    words = (GOOD, BAD)[number % 2]
    first, second = words[number // 2 % 4], words[number // 8 % 4]
    return f"{1 - number % 2} A {first} , {second} film"


@pytest.fixture
def root(tmp_path):
    """A corpus that nobody wrote."""
    folder = tmp_path / "text_classification"
    folder.mkdir()
    text = "\n".join(map(line, range(64))) + "\n"
    for part in ("train", "dev", "test"):
        (folder / f"stsa.binary.{part}").write_text(text, encoding="utf-8")
    for name in ("TREC.train.all", "TREC.test.all", "rt-polarity.all"):
        (folder / name).write_bytes(text.replace("A", "À").encode("latin-1"))
    return tmp_path


def sentences(*texts):
    return [Sentence(tuple(text.split()), place) for place, text in enumerate(texts)]


# --- data -----------------------------------------------------------------------------


def test_lines_are_a_label_and_words_in_lower_case(tmp_path):
    path = tmp_path / "some.all"
    # 0x85 ends a line in Unicode, and is a letter here.
    path.write_bytes("3 What \x85 is caf\xe9 ?\n\n0 Who ?\n".encode("latin-1"))
    first, second = read_sentences(path)
    assert first.label == 3
    assert first.words[-2:] == ("café", "?")
    assert second == Sentence(("who", "?"), 0)


@pytest.mark.parametrize("text", ["good film\n", "1\n", "0 fine\n-1 dull\n"])
def test_line_without_label_or_words_is_named(tmp_path, text):
    path = tmp_path / "some.all"
    path.write_text(text)
    with pytest.raises(ValueError, match="some.all, line [12]: expected a label"):
        read_sentences(path)


def test_parts_that_no_file_names_are_a_fixed_draw_of_all_sentences(root):
    mr, trec = load_corpus("mr", root), load_corpus("trec", root)
    assert [len(mr.train), len(mr.valid), len(mr.test)] == [51, 7, 6]
    assert [len(trec.train), len(trec.valid), len(trec.test)] == [58, 6, 64]
    whole = read_sentences(root / "text_classification" / "rt-polarity.all")
    assert sorted(mr.train + mr.valid + mr.test) == sorted(whole)
    torch.manual_seed(7)
    assert load_corpus("mr", root) == mr
    assert mr.num_classes == 2


def test_data_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KDGRAPH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="--root or \\$KDGRAPH_DATA"):
        load_corpus("mr")
    with pytest.raises(FileNotFoundError, match="rt-polarity"):
        load_corpus("mr", tmp_path)
    with pytest.raises(ValueError, match="knows .*got 'imdb'"):
        load_corpus("imdb", tmp_path)


def test_vocabulary_is_of_the_training_part_by_frequency():
    vocabulary = Vocabulary(sentences("b a", "b c"))
    assert vocabulary.ids == {"b": 1, "a": 2, "c": 3}
    assert len(vocabulary) == 4
    assert vocabulary.encode(Sentence(("c", "new", "b"), 0)) == [3, UNKNOWN, 1]


def test_padding_is_marked_and_every_sentence_comes_once():
    texts = sentences("a", "a b c", "b c", "c")
    part = Part(texts, Vocabulary(texts))
    batch = part.batch([0, 1])
    assert batch.ids.tolist() == [[2, 0, 0], [2, 3, 1]]
    assert batch.mask.tolist() == [[True, False, False], [True] * 3]
    for batches in (part.batches(3), part.shuffled(3)):
        labels = torch.cat([one.labels for one in batches]).tolist()
        assert sorted(labels) == [0, 1, 2, 3]


# --- network --------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "cnn"])
def test_padding_changes_no_score(pool):
    torch.manual_seed(0)
    model = SentenceClassifier(FullEmbedding(6, 8), 3, pool=pool, hidden_dim=9).eval()
    for length in (1, 2, 7):
        ids = torch.randint(6, (1, length))
        short = Batch(ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros(1))
        padded = torch.nn.functional.pad(ids, (0, 5))
        mask = torch.arange(length + 5).unsqueeze(0) < length
        long = Batch(padded, mask, short.labels)
        torch.testing.assert_close(model(short), model(long))


def test_mean_network_is_what_it_says():
    torch.manual_seed(0)
    table = FullEmbedding(5, 4)
    model = SentenceClassifier(table, 2, hidden_dim=3).eval()
    ids = torch.tensor([[1, 4, 1]])
    batch = Batch(ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros(1))
    mean = (2 * table.weight[1] + table.weight[4]) / 3
    expected = model.scores(torch.relu(model.hidden(mean)))
    torch.testing.assert_close(model(batch)[0], expected)


# --- encoders -------------------------------------------------------------------------


def test_words_that_come_together_are_near_and_classes_tell_words_apart():
    texts = sentences(*["sun beach sand", "snow ice frost"] * 4)
    texts = [one._replace(label=one.label % 2) for one in texts]
    vocabulary = Vocabulary(texts)
    part = Part(texts, vocabulary)
    for weight in (0.0, 1.0):
        vectors = cooccurrence_vectors(part, 7, 4, label_weight=weight)
        assert vectors.shape == (7, 4)
        assert vectors.isfinite().all()
        unit = torch.nn.functional.normalize(vectors, dim=1)
        rows = [vocabulary.ids[word] for word in ("sun", "beach", "snow")]
        near, far = unit[rows[0]] @ unit[rows[1]], unit[rows[0]] @ unit[rows[2]]
        assert near > far + 0.3


def taught(pool="mean"):
    """A table of 40 words, and a network of two hidden channels, or filters."""
    torch.manual_seed(0)
    table = FullEmbedding(40, 6)
    width = 2 if pool == "mean" else 6
    model = SentenceClassifier(table, 3, pool=pool, hidden_dim=width)
    return Teacher(table.export(), model)


@pytest.mark.parametrize("pool", ["mean", "cnn"])
def test_responses_are_what_the_network_adds_up(pool):
    teacher = taught(pool)
    model, x = teacher.network, teacher.table()[:5]
    read = model.responses(x)
    if model.hidden is not None:
        torch.testing.assert_close(read, model.hidden(x) - model.hidden.bias)
        return
    # The middle of what a filter says to one word amid zeros is its tap for that place.
    taps = []
    for one in model.filters:
        width = one.kernel_size[0]
        alone = torch.zeros(5, 6, 2 * width - 1)
        alone[:, :, width - 1] = x
        said = torch.nn.functional.conv1d(alone, one.weight)
        taps.append(said.flip(2).flatten(1))
    torch.testing.assert_close(read, torch.cat(taps, dim=1))


def test_codes_of_a_table_go_by_what_the_network_reads():
    teacher = taught()
    table = teacher.table()
    codes, codewords = teacher.codes(2, 8, seed=0)
    places = codes.codes().long() + torch.tensor([0, 8])
    met = codewords[places].sum(dim=1)
    read, seen = teacher.network.responses(table), teacher.network.responses(met)
    # Two numbers a word are read: 64 codes tell them apart better than all six.
    error = (seen - read).square().sum() / read.square().sum()
    blind = residual_quantize(table, 2, 8, seed=0).decode()
    other = (teacher.network.responses(blind) - read).square().sum()
    assert error < 0.05
    assert error < 0.5 * other / read.square().sum()
    # Least squares: what is missed is at right angles to every codeword's words.
    for place in range(16):
        chosen = (places == place).any(dim=1)
        gap = (table - met)[chosen].sum(dim=0)
        torch.testing.assert_close(gap, torch.zeros(6), atol=5e-3, rtol=0.0)


def test_factors_of_a_table_keep_what_the_network_reads():
    teacher = taught()
    rows, columns = teacher.factors(2)
    read = teacher.network.responses(teacher.table())
    torch.testing.assert_close(teacher.network.responses(rows @ columns), read)


@pytest.mark.parametrize("method", ["kd", "lowrank"])
def test_what_goes_on_from_a_table_begins_with_its_scores(root, method):
    options = {"dim": 8, "lr": 0.03, "epochs": 6, "dropout": 0.0, "batch_size": 8}
    options |= {"method": method, "source": "table", "budget": 0.9, "coder": "fixed"}
    options |= {"composer": "sum", "num_codebooks": 3, "codebook_size": 8}
    result = run(options, "mr", 1, root)
    assert result["curves"][0]["valid"][0] == 1.0
    assert len(result["curves"][0]["valid"]) == len(result["curves"][0]["loss"]) + 1


@pytest.mark.parametrize(
    "options",
    [
        {"method": "full", "pool": "cnn"},
        {"method": "lowrank", "budget": 0.5},
        {"method": "kd", "guidance": "online"},
        {"method": "kd", "coder": "vq", "guidance": "pretrained"},
        {"method": "lowrank", "budget": 0.5, "source": "table"},
        {"method": "kd", "coder": "fixed", "source": "table", "composer": "sum"},
        {"method": "kd", "coder": "fixed", "source": "cooccurrence"},
        {"method": "kd", "coder": "fixed"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_method_trains_and_says_what_it_keeps(root, options):
    small = {"dim": 8, "hidden_dim": 6, "epochs": 2, "num_codebooks": 4}
    small |= {"codebook_size": 4, "lr": 0.01, "batch_size": 8}
    result = run(small | options, "sst2", 2, root)
    json.dumps(result)
    words = 1 + 11  # a, the comma, film and eight adjectives
    assert result["vocabulary"] == words
    assert result["full_bytes"] == 4 * words * 8
    expected = {"full": 4 * words * 8, "lowrank": 4 * (words + 8) * 2}
    kept = words * 1 + 4 * 4 * 2 * 4  # 4 codes of 2 bits, 4 codebooks of 4 x 2
    if options.get("composer") == "sum":
        kept = words * 1 + 4 * 4 * 8 * 4  # as wide as the vectors
    assert result["inference_bytes"] == expected.get(options["method"], kept)
    if "table" in options.values() or "pretrained" in options.values():
        # The table that is trained first takes more than what is left of it.
        assert result["training_bytes"] >= 16 * words * 8
    assert len(result["test_score"]["seeds"]) == len(result["curves"]) == 2
    for curve, score in zip(
        result["curves"], result["valid_score"]["seeds"], strict=True
    ):
        assert curve["valid"][curve["best"]] == score == max(curve["valid"])
        assert all(map(math.isfinite, curve["loss"]))


def test_training_learns_and_a_seed_repeats(root):
    options = {"dim": 8, "lr": 0.03, "epochs": 6, "dropout": 0.0, "batch_size": 8}
    first, second = run(options, "mr", 1, root), run(options, "mr", 1, root)
    assert first["test_score"]["mean"] == 1.0
    assert first["curves"] == second["curves"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.1}, "no options \\['learning_rate'\\]"),
        ({"method": "hash"}, "option method expects .*got 'hash'"),
        ({"dropout": 1.0}, "dropout is out of range"),
        ({"lr": 0}, "lr expects a number above 0"),
        ({"dim": 2.5}, "dim expects a number as 300"),
        ({"epochs": True}, "epochs expects a number"),
        ({"method": "full", "source": "table"}, "source expects .*got 'table'"),
        ({"method": "kd", "source": "cooccurrence"}, "source expects .*'softmax'"),
        ({"method": "kd", "num_codebooks": 7}, "multiple of num_codebooks=7"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        validate(options, "trec")


def test_data_sets_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="got 'cora'"):
        validate({}, "cora")


# --- configurations and page ----------------------------------------------------------


def test_methods_have_equally_many_trials_and_all_data_sets():
    experiments = load_experiments(page.SUITE)
    assert len({one.order for one in experiments}) == len(experiments)
    for one in experiments:
        assert one.datasets == DATASETS
        assert {len(one.trials_on(dataset)) for dataset in DATASETS} == {6}


def test_page_is_what_records_say():
    def record(*scores, stored):
        mean = sum(scores) / len(scores)
        score = {"mean": mean, "std": 0.01, "seeds": list(scores)}
        config = {"lr": 0.001, "dropout": 0.5}
        result = {"test_score": score, "valid_score": score, "inference_bytes": stored}
        result |= {"full_bytes": 1000, "training_bytes": 1200, "config": config}
        result |= {"full_training_bytes": 4000, "seconds_per_epoch": 0.5}
        return {"status": "ok", "result": result}

    text = page.page(
        {
            ("full", "mr"): record(0.76, 0.78, stored=1000),
            ("softmax-98", "mr"): record(0.77, 0.79, stored=19),
            ("vq-98", "mr"): {"status": "failed"},
        }
    )
    assert "## MR" in text
    assert "## TREC" not in text
    rows = [row for row in text.splitlines() if row.startswith("| ")]
    full, softmax, vq = rows[1:]
    assert "| 77.0 ± 1.0 | - |" in full
    assert "| 1,000 | - |" in full
    assert "| +1.0 ± 0.0 |" in softmax
    assert "| 98.1 % | 30 % |" in softmax
    assert "| failed | - |" in vq
