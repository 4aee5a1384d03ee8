"""Encoders and guidance of an experiment, by its options."""

import torch
from torch import Tensor

from benchmarks.text_classification.options import CODERS, COMPOSERS, TextConfig
from benchmarks.text_classification.teacher import Teacher
from benchmarks.text_classification.vocabulary import Part
from benchmarks.text_classification.word_vectors import cooccurrence_vectors
from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding, LowRankEmbedding
from kdgraph.coders import Coder, FixedCoder, LogitCoder
from kdgraph.codes import CodeTable, product_quantize, residual_quantize
from kdgraph.encoder import Encoder
from kdgraph.guidance import Guidance, OnlineDistillation, PretrainedDistillation


def make_encoder(
    config: TextConfig,
    part: Part | None,
    num_words: int,
    teacher: Teacher | None,
    seed: int,
) -> Encoder:
    """The encoder of the words.

    Args:
        config: Options.
        part: Training sentences, where codes are read off them.
        num_words: Number of words N, the unknown one included.
        teacher: A trained table and its network, where :func:`needs_teacher`.
        seed: Of quantisation.
    """
    sizes = (num_words, config.dim)
    if config.method == "full":
        return FullEmbedding(*sizes)
    if config.method == "lowrank":
        full = 4 * num_words * config.dim
        thin = LowRankEmbedding(*sizes, max_bytes=int(config.budget * full))
        if config.source == "table" and teacher is not None:
            rows, columns = teacher.factors(thin.rank)
            _copy((thin.rows, rows), (thin.columns, columns))
        return thin
    if config.source == "table" and teacher is not None:
        sizes = (config.num_codebooks, config.codebook_size)
        codes, codewords = teacher.codes(*sizes, seed)
        encoder = _of_codes(config, codes, num_words)
        _copy((encoder.composer.weight, codewords))
        return encoder
    if config.source == "cooccurrence" and part is not None:
        return _of_cooccurrence(config, part, num_words, seed)
    return KDEmbedding(
        *sizes,
        num_codebooks=config.num_codebooks,
        codebook_size=config.codebook_size,
        coder=_coder(config),
        composer=COMPOSERS[config.composer](storage=config.storage),
        code_dropout=config.code_dropout,
    )


def make_guidance(
    config: TextConfig, num_words: int, teacher: Teacher | None
) -> Guidance | None:
    """What helps the codes learn, or ``None``."""
    if config.guidance == "online":
        return OnlineDistillation(
            (num_words, config.dim),
            weight=config.guidance_weight,
            mix=config.guidance_mix,
        )
    if config.guidance == "pretrained" and teacher is not None:
        return PretrainedDistillation(teacher.table, weight=config.guidance_weight)
    return None


def needs_teacher(config: TextConfig) -> bool:
    """Whether a full table is trained first."""
    distils = config.method == "kd" and config.guidance == "pretrained"
    return config.source == "table" or distils


def _coder(config: TextConfig) -> Coder:
    coder = CODERS[config.coder]
    if issubclass(coder, LogitCoder):
        return coder(config.query_dim or "free", scale=config.code_scale)
    return coder()


def _of_cooccurrence(
    config: TextConfig, part: Part, num_words: int, seed: int
) -> KDEmbedding:
    """Codes of words that come together, and codewords as large as drawn ones are."""
    vectors = cooccurrence_vectors(
        part, num_words, config.dim, label_weight=config.label_weight, seed=seed
    )
    additive = COMPOSERS[config.composer].additive
    quantize = residual_quantize if additive else product_quantize
    found = quantize(vectors, config.num_codebooks, config.codebook_size, seed=seed)
    encoder = _of_codes(config, found.codes, num_words)
    drawn, codewords = encoder.composer.weight, torch.cat(list(found.codebooks))
    _copy((drawn, codewords * (drawn.std() / codewords.std())))
    return encoder


def _of_codes(config: TextConfig, codes: CodeTable, num_words: int) -> KDEmbedding:
    """Given codes, and codewords that are drawn."""
    composer = COMPOSERS[config.composer](storage=config.storage, null_code=False)
    return KDEmbedding(
        num_words,
        config.dim,
        coder=FixedCoder(codes),
        composer=composer,
        code_dropout=config.code_dropout,
    )


@torch.no_grad()
def _copy(*pairs: tuple[Tensor, Tensor]) -> None:
    for parameter, value in pairs:
        parameter.copy_(value)
