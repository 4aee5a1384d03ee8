"""The KD encoding, as published."""

from collections.abc import Callable
from typing import Literal

from kdgraph.baselines.budget import check_budget, largest_size
from kdgraph.baselines.coded_bytes import coded_bytes
from kdgraph.coders import SoftmaxCoder
from kdgraph.composers import Composer, MLPComposer, RecurrentComposer, SumComposer
from kdgraph.embedding import KDEmbedding

CODEBOOK_SIZE = 32
MOST_POSITIONS = 32
WIDTHS = (300, 150, 75, 37, 18, 9)
ENOUGH_POSITIONS = 8

Composition = Literal["linear", "mlp", "lstm"]


def kd_encoding(
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    composition: Composition = "linear",
    sparse: bool = False,
) -> KDEmbedding:
    r"""The KD encoding of 2018, of the largest D that takes at most ``max_bytes``.

    "Learning K-way D-dimensional Discrete Codes for Compact Embedding Representations"
    (Chen, Min, Sun, ICML 2018), with the settings of its code: a free logit per node,
    position and choice, batch-normalised with learned scale and centre, arg-max forward
    and softmax backward at :math:`\tau = 1`, K = 32, D of at most 32, codewords 300
    wide, and batch normalisation of the vectors. ``composition`` is

    - ``"linear"``: :math:`W \sum_j C_j[k_j] + b`, theirs up to the scale of the
      codebooks and a further normalisation before W;
    - ``"mlp"``: their ``mean_fnn``, a hidden layer as wide as the vectors after the
      mean of the codewords;
    - ``"lstm"``: their ``rnn``, the last state of an LSTM over the positions, half as
      wide as the vectors.

    Codewords of 300 numbers are dear where nodes are few: the width is halved, to 9 at
    the least, until 8 positions fit, or else as many as do at the last.

    Logits take N D K floats in training: this compresses inference alone.

    Args:
        max_bytes: What codes, codebooks and composer may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        composition: How codewords become a vector. (default: ``"linear"``)
        sparse: Sparse gradients for the rows of a mini-batch. (default: ``False``)

    Raises:
        ValueError: An unknown composition, or not even one position fits.

    Example:
        >>> encoder = kd_encoding(50_000, num_nodes=1000, embedding_dim=64)
        >>> encoder.num_codebooks, encoder.composer.width
        (14, 18)
    """
    check_budget(max_bytes, num_nodes, embedding_dim, owner="kd_encoding")
    makers = {
        "linear": _linear,
        "mlp": _mlp,
        "lstm": _lstm,
    }
    if composition not in makers:
        raise ValueError(
            f"kd_encoding expects composition 'linear', 'mlp' or 'lstm', got "
            f"{composition!r}"
        )
    width, count = _width_and_count(
        max_bytes, num_nodes, embedding_dim, makers[composition]
    )
    return KDEmbedding(
        num_nodes,
        embedding_dim,
        num_codebooks=count,
        codebook_size=CODEBOOK_SIZE,
        coder=SoftmaxCoder("free", scale=1.0, normalize="affine", sparse=sparse),
        composer=makers[composition](width),
    )


def _width_and_count(
    max_bytes: int, num_nodes: int, embedding_dim: int, make: Callable[[int], Composer]
) -> tuple[int, int]:
    """The widest codewords of which enough fit, and how many do."""

    def taken(width: int, count: int) -> int:
        sizes = (CODEBOOK_SIZE,) * count
        return coded_bytes(num_nodes, embedding_dim, sizes, lambda: make(width))

    fitting = [w for w in WIDTHS if taken(w, ENOUGH_POSITIONS) <= max_bytes]
    width = fitting[0] if fitting else WIDTHS[-1]
    count = largest_size(
        lambda count: taken(width, count),
        max_bytes,
        owner="kd_encoding",
        what="num_codebooks",
        most=MOST_POSITIONS,
    )
    return width, count


def _linear(width: int) -> Composer:
    return SumComposer(width, norm="batch", null_code=False)


def _mlp(width: int) -> Composer:
    return MLPComposer(width, pool="mean", norm="batch", null_code=False)


def _lstm(width: int) -> Composer:
    return RecurrentComposer(width, norm="batch", null_code=False)
