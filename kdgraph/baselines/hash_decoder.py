"""Hash codes of the adjacency with a decoder, as published."""

from functools import partial
from typing import NamedTuple

from kdgraph.baselines.budget import check_budget
from kdgraph.baselines.coded_bytes import coded_bytes
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable
from kdgraph.composers import MLPComposer
from kdgraph.embedding import KDEmbedding

BITS = (128, 64, 32, 16, 8)
CHOICES = (256, 16)
WIDTHS = (512, 256, 128, 64, 32, 16, 8)


class DecoderSizes(NamedTuple):
    """Sizes of hash codes and their decoder.

    Args:
        num_codebooks: Number of codebooks m.
        codebook_size: Their codewords c, a power of two.
        hidden_dim: Width of codewords and of the hidden layers.
    """

    num_codebooks: int
    codebook_size: int
    hidden_dim: int


def hash_decoder(
    max_bytes: int,
    num_nodes: int,
    embedding_dim: int,
    *,
    codes: CodeTable | None = None,
) -> KDEmbedding:
    r"""Fixed hash codes, a sum of codewords, and a network that decodes it.

    "Embedding Compression with Hashing for Efficient Representation Learning in
    Large-Scale Graph" (Yeh et al., KDD 2022), the full variant, whose codebooks are
    trained: :math:`e_v = \mathrm{MLP}(\frac{1}{m} \sum_j C_j[k_{v,j}])` with three
    linear maps, ReLU between them, and a residual connection around the second that
    theirs lacks. The codes are 128 bits of
    :func:`kdgraph.codes.projection_codes`, which are for the caller to read off the
    graph, in the sizes that :func:`decoder_sizes` tells; without them random codes
    stand in, which count the same bytes.

    Args:
        max_bytes: What codes, codebooks and decoder may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        codes: Of each node. (default: ``None``, random)

    Raises:
        ValueError: Codes of other sizes, or nothing fits.

    Example:
        >>> from kdgraph.codes import projection_codes
        >>> from kdgraph.data import sbm
        >>> sizes = decoder_sizes(60_000, num_nodes=500, embedding_dim=32)
        >>> sizes
        DecoderSizes(num_codebooks=32, codebook_size=16, hidden_dim=16)
        >>> codes = projection_codes(sbm(500, seed=0).adj, *sizes[:2])
        >>> encoder = hash_decoder(60_000, 500, 32, codes=codes)
        >>> encoder.inference_bytes() <= 60_000
        True
    """
    sizes = decoder_sizes(max_bytes, num_nodes, embedding_dim)
    alphabets = (sizes.codebook_size,) * sizes.num_codebooks
    if codes is not None and codes.codebook_sizes != alphabets:
        raise ValueError(
            f"hash_decoder expects codes of K = {alphabets}, got K = "
            f"{codes.codebook_sizes}; read them in the sizes of decoder_sizes()"
        )
    return KDEmbedding(
        num_nodes,
        embedding_dim,
        num_codebooks=sizes.num_codebooks,
        codebook_size=sizes.codebook_size,
        coder=FixedCoder("random" if codes is None else codes),
        composer=_decoder(sizes.hidden_dim),
    )


def decoder_sizes(max_bytes: int, num_nodes: int, embedding_dim: int) -> DecoderSizes:
    """What of the authors' sizes fits.

    Theirs are 128 bits in codebooks of 16 to 256 codewords, 512 wide, as are the hidden
    layers. Where that is too much, bits are halved until the codes take at most half of
    ``max_bytes``, or are 8; then the widest decoder that fits is taken, of 512, 256 ...
    8, with codebooks of 256 codewords if these fit, else of 16.

    Args:
        max_bytes: What codes, codebooks and decoder may take.
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.

    Raises:
        ValueError: Nothing fits.

    Example:
        >>> decoder_sizes(10**10, num_nodes=10**8, embedding_dim=64)
        DecoderSizes(num_codebooks=16, codebook_size=256, hidden_dim=512)
    """
    check_budget(max_bytes, num_nodes, embedding_dim, owner="hash_decoder")
    halves = [bits for bits in BITS if num_nodes * bits // 8 <= max_bytes // 2]
    bits = halves[0] if halves else BITS[-1]
    least = 0
    for width in WIDTHS:
        for size in CHOICES:
            count = bits // (size.bit_length() - 1)
            least = coded_bytes(
                num_nodes, embedding_dim, (size,) * count, partial(_decoder, width)
            )
            if least <= max_bytes:
                return DecoderSizes(count, size, width)
    raise ValueError(
        f"hash_decoder does not fit max_bytes={max_bytes}: {bits} bits and a decoder 8 "
        f"wide take {least} bytes; allow more"
    )


def _decoder(width: int) -> MLPComposer:
    return MLPComposer(
        width, hidden_dim=width, num_layers=2, pool="mean", null_code=False
    )
