"""The encoders that must obey the law, and what all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from kdgraph import Encoder, KDEmbedding
from kdgraph.baselines import (
    BloomEmbedding,
    CCEEmbedding,
    DeepHashEmbedding,
    FrozenEmbedding,
    FullEmbedding,
    HashingEmbedding,
    Int8Embedding,
    LowRankEmbedding,
    MultiHashEmbedding,
    PositionHashEmbedding,
    QuantizedRows,
    QuotientRemainderEmbedding,
    ROBEEmbedding,
    TensorTrainEmbedding,
)
from kdgraph.coders import (
    Coder,
    FixedCoder,
    GumbelCoder,
    RefinedCoder,
    SoftmaxCoder,
    ThresholdCoder,
    VQCoder,
)
from kdgraph.codes import CodeTable, Prefix
from kdgraph.composers import (
    Composer,
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    RingComposer,
    SumComposer,
)
from kdgraph.ops import backend, core

# Tensors here are tiny: a second thread would only wait for the first, in commands that
# tests start as well.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

NUM_NODES, DIM, POSITIONS = 23, 8, 4
RAGGED = (2, 6, 3, 5)
TREES = (None, (2, 3), None, None)
ALPHABETS: tuple[int | tuple[int, ...], ...] = (4, 5, RAGGED)

CODER_VARIANTS: dict[str, Callable[[], Coder]] = {
    "softmax": lambda: SoftmaxCoder("free"),
    "softmax-query": lambda: SoftmaxCoder(query_dim=2),
    "softmax-batch": lambda: SoftmaxCoder("free", normalize="batch"),
    "softmax-affine": lambda: SoftmaxCoder("free", normalize="affine"),
    "softmax-query-batch": lambda: SoftmaxCoder(query_dim=3, normalize="batch"),
    "softmax-query-affine": lambda: SoftmaxCoder(query_dim=3, normalize="affine"),
    "softmax-sparse": lambda: SoftmaxCoder("free", sparse=True),
    "gumbel": lambda: GumbelCoder("free"),
    "gumbel-soft": lambda: GumbelCoder("free", hard=False, temperature=0.7),
    "gumbel-query": lambda: GumbelCoder(query_dim=2),
    "gumbel-affine": lambda: GumbelCoder("free", normalize="affine"),
    "vq": VQCoder,
    "vq-sparse": lambda: VQCoder(sparse=True),
    "threshold": ThresholdCoder,
    "fixed": FixedCoder,
    "fixed-compact": lambda: FixedCoder("compact"),
    "fixed-given": lambda: FixedCoder(given_codes()),
    "fixed-prefix": lambda: FixedCoder(prefixed_codes()),
    "refined": RefinedCoder,
}
COMPOSER_VARIANTS: dict[str, Callable[[], Composer]] = {
    "sum": SumComposer,
    "sum-project": lambda: SumComposer(code_dim=3),
    "sum-shared": lambda: SumComposer(shared=True),
    "sum-batch": lambda: SumComposer(norm="batch"),
    "sum-layer": lambda: SumComposer(norm="layer"),
    "sum-no-null": lambda: SumComposer(null_code=False),
    "concat": ConcatComposer,
    "concat-project": lambda: ConcatComposer(code_dim=3),
    "concat-shared": lambda: ConcatComposer(shared=True),
    "concat-batch": lambda: ConcatComposer(norm="batch"),
    "mlp": MLPComposer,
    "mlp-mean": lambda: MLPComposer(pool="mean", num_layers=2, norm="layer"),
    "sum-int8": lambda: SumComposer(code_dim=3, storage="int8"),
    "sum-shared-int8": lambda: SumComposer(shared=True, storage="int8"),
    "concat-bfloat16": lambda: ConcatComposer(norm="batch", storage="bfloat16"),
    "mlp-int8": lambda: MLPComposer(num_layers=2, norm="layer", storage="int8"),
    "recurrent": RecurrentComposer,
    "recurrent-both": lambda: RecurrentComposer(bidirectional=True),
    "ring": lambda: RingComposer(rank=3),
    "ring-int8": lambda: RingComposer(rank=2, norm="layer", storage="int8"),
    "recurrent-mean": lambda: RecurrentComposer(pool="mean", shared=True),
    "sum-tree": lambda: SumComposer(3, null_code=False, storage="int8", trees=TREES),
    "concat-tree": lambda: ConcatComposer(null_code=False, norm="batch", trees=TREES),
}
PLAIN_COMPOSERS = ("sum", "concat", "mlp", "recurrent", "ring")
LINEAR_COMPOSERS = ("sum", "concat")
TYPICAL_CODERS = ("softmax-query", "gumbel-soft", "vq")
BASELINES: dict[str, Callable[[], Encoder]] = {
    "full": lambda: FullEmbedding(NUM_NODES, DIM),
    "full-sparse": lambda: FullEmbedding(NUM_NODES, DIM, sparse=True),
    "low-rank": lambda: LowRankEmbedding(NUM_NODES, DIM, 3),
    "tensor-train": lambda: TensorTrainEmbedding(NUM_NODES, DIM, rank=3),
    "tensor-train-uneven": lambda: TensorTrainEmbedding(
        NUM_NODES, DIM, rank=2, num_rows=(5, 1, 6), num_columns=(1, 8, 1)
    ),
    "position": lambda: PositionHashEmbedding(NUM_NODES, DIM, digits()),
    "position-hash": lambda: PositionHashEmbedding(
        NUM_NODES, DIM, digits(), num_buckets=7
    ),
    "position-hash-inter": lambda: PositionHashEmbedding(
        NUM_NODES, DIM, digits(), num_buckets=5, num_hashes=3, intra=False
    ),
    "cce": lambda: CCEEmbedding(NUM_NODES, DIM, num_rows=5, num_chunks=2),
    "frozen": lambda: FrozenEmbedding(torch.randn(NUM_NODES, DIM)),
    "hashing": lambda: HashingEmbedding(NUM_NODES, DIM, 7),
    "hashing-sparse": lambda: HashingEmbedding(NUM_NODES, DIM, 7, sparse=True),
    "multi-hash": lambda: MultiHashEmbedding(NUM_NODES, DIM, 7),
    "multi-hash-sparse": lambda: MultiHashEmbedding(
        NUM_NODES, DIM, 5, num_hashes=3, sparse=True
    ),
    "bloom": lambda: BloomEmbedding(NUM_NODES, DIM, 7),
    "bloom-sparse": lambda: BloomEmbedding(NUM_NODES, DIM, 7, sparse=True),
    "quotient-remainder": lambda: QuotientRemainderEmbedding(NUM_NODES, DIM, 6),
    "quotient-remainder-sum": lambda: QuotientRemainderEmbedding(
        NUM_NODES, DIM, 4, operation="sum"
    ),
    "quotient-remainder-concat-sparse": lambda: QuotientRemainderEmbedding(
        NUM_NODES, DIM, 5, operation="concat", sparse=True
    ),
    "robe": lambda: ROBEEmbedding(NUM_NODES, DIM, 30, block_size=3),
    "robe-one": lambda: ROBEEmbedding(NUM_NODES, DIM, 40, block_size=1),
    "robe-whole": lambda: ROBEEmbedding(NUM_NODES, DIM, 40),
    # Of widths that fill registers, so that Mish rounds all rows alike.
    "deep-hash": lambda: DeepHashEmbedding(
        NUM_NODES, DIM, 16, num_hashes=12, num_layers=2
    ),
    "deep-hash-plain": lambda: DeepHashEmbedding(
        NUM_NODES, DIM, 16, num_hashes=12, num_layers=1, batch_norm=False
    ),
    "int8": lambda: Int8Embedding(NUM_NODES, DIM),
    "int8-rows": lambda: QuantizedRows.of(torch.randn(NUM_NODES, DIM)),
    "int4-rows": lambda: QuantizedRows.of(torch.randn(NUM_NODES, DIM), 4),
}


@dataclass(frozen=True)
class EncoderCase:
    """One kind of encoder: its name, and how to make a fresh one."""

    name: str
    make: Callable[[], Encoder]


def digits() -> CodeTable:
    """Clusters of two levels: 3, and 2 in each of them."""
    leaves = torch.arange(NUM_NODES) % 6
    return CodeTable.from_codes(torch.stack([leaves // 2, leaves % 2], 1), (3, 2))


def given_codes() -> torch.Tensor:
    """Codes that fit every alphabet above: none is beyond 1 at the first position."""
    generator = torch.Generator().manual_seed(5)
    return torch.stack(
        [torch.randint(k, (NUM_NODES,), generator=generator) for k in (2, 4, 3, 4)], 1
    )


def prefixed_codes() -> CodeTable:
    """Codes of which the first two positions follow from the place of the node."""
    prefix = Prefix(torch.tensor([0, 4, 4, 9, 15, 20, NUM_NODES]), (2, 3))
    return CodeTable.from_codes(given_codes()[:, 2:], RAGGED[2:]).prefixed(prefix)


def coded(coder: str, composer: str, alphabet: int | tuple[int, ...]) -> EncoderCase:
    """A ``KDEmbedding`` by the names of its parts."""
    own: dict[str, int | tuple[int, ...]] = {"threshold": 2, "fixed-prefix": RAGGED}
    own |= {"sum-tree": RAGGED, "concat-tree": RAGGED}
    size = own.get(coder, own.get(composer, alphabet))

    def make() -> Encoder:
        return KDEmbedding(
            NUM_NODES,
            DIM,
            num_codebooks=POSITIONS,
            codebook_size=size,
            coder=CODER_VARIANTS[coder](),
            composer=COMPOSER_VARIANTS[composer](),
        )

    label = size if isinstance(size, int) else "ragged"
    return EncoderCase(f"{coder}|{composer}|{label}", make)


def frozen(case: EncoderCase) -> EncoderCase:
    """What a case exports."""

    def make() -> Encoder:
        encoder = case.make()
        scramble(encoder)
        return encoder.export()

    return EncoderCase(f"packed|{case.name}", make)


def all_cases() -> list[EncoderCase]:
    """Every coder with every plain composer, and every composer with typical coders."""
    pairs = [
        (coder, plain)
        for coder in CODER_VARIANTS
        for plain in PLAIN_COMPOSERS
        if coder != "refined" or plain in LINEAR_COMPOSERS
    ]
    pairs += [
        (coder, composer)
        for composer in COMPOSER_VARIANTS
        if composer not in PLAIN_COMPOSERS
        for coder in TYPICAL_CODERS
    ]
    cases = [
        coded(coder, composer, ALPHABETS[number % len(ALPHABETS)])
        for number, (coder, composer) in enumerate(pairs)
    ]
    cases += [EncoderCase(name, make) for name, make in BASELINES.items()]
    cases += [
        frozen(coded("softmax", composer, alphabet))
        for composer, alphabet in zip(PLAIN_COMPOSERS, (*ALPHABETS, 16, 3), strict=True)
    ]
    return cases


def scramble(encoder: torch.nn.Module) -> None:
    """Leave the cold start: every parameter drawn at random, so codes differ."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.5)
        for name, buffer in encoder.named_buffers():
            if name.endswith(("var", "running_var")):
                buffer.uniform_(0.5, 2.0)
            elif name.endswith(("norm.mean", "running_mean")):
                buffer.normal_()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(name="scramble")
def scramble_fixture() -> Callable[[torch.nn.Module], None]:
    """The function that moves an encoder off its cold start."""
    return scramble


@pytest.fixture(scope="session")
def encoder_cases() -> list[EncoderCase]:
    """All cases, for tests about the suite itself."""
    return all_cases()


def pytest_report_header() -> str:
    """Say what computes: a failure may be of one implementation only."""
    chosen = core.instruction_set() if backend() == "native" else "not at work"
    return f"kdgraph: backend {backend()}, compiled core {chosen}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``encoder_case`` runs once for each."""
    if "encoder_case" in metafunc.fixturenames:
        cases = all_cases()
        metafunc.parametrize("encoder_case", cases, ids=[case.name for case in cases])


@pytest.fixture
def encoder(encoder_case: EncoderCase) -> Encoder:
    """A fresh encoder of the case, off its cold start, in training mode."""
    made = encoder_case.make()
    scramble(made)
    return made.train()
