"""Encoders and guidance of an experiment, by its options."""

import torch
from torch import Tensor

from benchmarks.text_classification.options import CODERS, COMPOSERS, TextConfig
from benchmarks.text_classification.vocabulary import Part
from benchmarks.text_classification.word_vectors import cooccurrence_vectors
from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.coders import Coder, FixedCoder, LogitCoder
from kdgraph.codes import Quantization, product_quantize, residual_quantize
from kdgraph.composers import Composer
from kdgraph.encoder import Encoder
from kdgraph.guidance import Guidance, OnlineDistillation, PretrainedDistillation


def make_encoder(
    config: TextConfig,
    part: Part | None,
    num_words: int,
    teacher: Encoder | None,
    seed: int,
) -> Encoder:
    """The encoder of the words.

    Args:
        config: Options.
        part: Training sentences, where codes are read off them.
        num_words: Number of words N, the unknown one included.
        teacher: A trained full table, where :func:`needs_teacher`.
        seed: Of quantisation.
    """
    sizes = (num_words, config.dim)
    if config.method == "full":
        return FullEmbedding(*sizes)
    if config.method == "lowrank":
        full = 4 * num_words * config.dim
        return LowRankEmbedding(*sizes, max_bytes=int(config.budget * full))
    vectors = None
    if config.coder == "fixed":
        vectors = _vectors(config, part, num_words, teacher, seed)
    composer_class = COMPOSERS[config.composer]
    if vectors is None:
        return KDEmbedding(
            *sizes,
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            coder=_coder(config),
            composer=composer_class(storage=config.storage),
            code_dropout=config.code_dropout,
        )
    quantize = residual_quantize if composer_class.additive else product_quantize
    found = quantize(vectors, config.num_codebooks, config.codebook_size, seed=seed)
    composer = composer_class(storage=config.storage, null_code=False)
    encoder = KDEmbedding(
        *sizes,
        coder=FixedCoder(found.codes),
        composer=composer,
        code_dropout=config.code_dropout,
    )
    _begin_at(composer, found)
    return encoder


def make_guidance(
    config: TextConfig, num_words: int, teacher: Encoder | None
) -> Guidance | None:
    """What helps the codes learn, or ``None``."""
    if config.guidance == "online":
        return OnlineDistillation(
            (num_words, config.dim),
            weight=config.guidance_weight,
            mix=config.guidance_mix,
        )
    if config.guidance == "pretrained" and teacher is not None:
        return PretrainedDistillation(teacher, weight=config.guidance_weight)
    return None


def needs_teacher(config: TextConfig) -> bool:
    """Whether a full table is trained first."""
    if config.method != "kd":
        return False
    read = config.coder == "fixed" and config.codes == "table"
    return read or config.guidance == "pretrained"


def _coder(config: TextConfig) -> Coder:
    coder = CODERS[config.coder]
    if issubclass(coder, LogitCoder):
        return coder(config.query_dim or "free", scale=config.code_scale)
    return coder()


def _vectors(
    config: TextConfig,
    part: Part | None,
    num_words: int,
    teacher: Encoder | None,
    seed: int,
) -> Tensor | None:
    """What codes are read off; ``None`` for random codes."""
    if config.codes == "cooccurrence" and part is not None:
        return cooccurrence_vectors(
            part,
            num_words,
            config.dim,
            label_weight=config.label_weight,
            seed=seed,
        )
    return None if teacher is None else teacher().detach()


@torch.no_grad()
def _begin_at(composer: Composer, found: Quantization) -> None:
    """Put the centroids, made as large as codewords are at first, into codebooks."""
    codewords = torch.cat(list(found.codebooks))
    spread = composer.weight.std() / codewords.std()
    composer.weight.copy_(codewords * spread)
