"""TextConfig: the options of an experiment on sentences."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from benchmarks.text_classification.network import POOLS
from kdgraph.coders import Coder, FixedCoder, GumbelCoder, SoftmaxCoder, VQCoder
from kdgraph.composers import Composer, ConcatComposer, MLPComposer, SumComposer
from kdgraph.ops import Storage

METHODS = ("full", "lowrank", "kd")
CODERS: dict[str, type[Coder]] = {
    "softmax": SoftmaxCoder,
    "gumbel": GumbelCoder,
    "vq": VQCoder,
    "fixed": FixedCoder,
}
COMPOSERS: dict[str, type[Composer]] = {
    "concat": ConcatComposer,
    "sum": SumComposer,
    "mlp": MLPComposer,
}
SOURCES = ("none", "cooccurrence", "table")
GUIDANCE = ("none", "online", "pretrained")

_CHOICES = {
    "method": METHODS,
    "coder": tuple(CODERS),
    "composer": tuple(COMPOSERS),
    "source": SOURCES,
    "guidance": GUIDANCE,
    "pool": POOLS,
    "storage": (None, "bfloat16", "int8"),
}


@dataclass(frozen=True)
class TextConfig:
    """Options of one experiment.

    Args:
        method: ``"full"``, ``"lowrank"`` or ``"kd"``.
        budget: Of a low-rank table, the bytes it may take as a share of the full one's.
        coder: Of codes, a name :class:`kdgraph.KDEmbedding` knows.
        composer: Likewise.
        num_codebooks: Positions D.
        codebook_size: Choices K.
        query_dim: Of logit coders, numbers a word and position; 0 for free logits.
        code_scale: Of logit coders, the factor on logits.
        storage: What codebooks are rounded to.
        source: What fixed codes, or the factors of a low-rank table, are read off:
            ``"none"``, when they are drawn at random; for codes the co-occurrence of
            words in the training part; or a ``"table"``, a full one that is trained
            before, with whose network training then goes on.
        label_weight: Of codes of co-occurrence, how much the classes of the training
            sentences that a word comes in count beside the words beside it.
        guidance: ``"none"``, ``"online"`` or ``"pretrained"`` distillation.
        guidance_weight: Of the pull toward the teacher.
        guidance_mix: Of online distillation, how often a row shows the codes.
        code_dropout: Probability with which a training step leaves out a position.
        dim: Width of a word vector C.
        pool: ``"mean"`` or ``"cnn"``.
        hidden_dim: Width of the layer before the scores.
        dropout: On the pooled and the hidden vectors.
        word_dropout: Probability with which a word is taken for an unknown one.
        lr: Of Adam.
        batch_size: Sentences a step.
        epochs: At most.
        patience: Epochs without a better validation score after which training ends.
    """

    method: str = "full"
    budget: float = 0.05
    coder: str = "softmax"
    composer: str = "concat"
    num_codebooks: int = 30
    codebook_size: int = 32
    query_dim: int = 5
    code_scale: float = 10.0
    storage: Storage = None
    source: str = "none"
    label_weight: float = 0.0
    guidance: str = "none"
    guidance_weight: float = 1.0
    guidance_mix: float = 0.5
    code_dropout: float = 0.0
    dim: int = 300
    pool: str = "mean"
    hidden_dim: int = 100
    dropout: float = 0.5
    word_dropout: float = 0.1
    lr: float = 0.001
    batch_size: int = 50
    epochs: int = 30
    patience: int = 6

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Take options by name.

        Raises:
            ValueError: An unknown name, or a value out of range or of another type.
        """
        known = {field.name: field for field in fields(cls)}
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"text classification has no options {unknown}; it has {sorted(known)}"
            )
        for name, value in options.items():
            _check(name, value, known[name].default)
        config = cls(**options)
        if config.method == "lowrank" and config.budget == 0:
            raise ValueError("a low-rank table needs a budget above 0")
        config._check_source()
        return config

    def _check_source(self) -> None:
        """Refuse a source for what reads none.

        Raises:
            ValueError: In a sentence.
        """
        reads = {"lowrank": ("none", "table"), "full": ("none",)}.get(self.method)
        if self.method == "kd" and self.coder != "fixed":
            reads = ("none",)
        elif self.method == "kd" and self.composer != "sum":
            # Codewords of a run of columns would meet no axis that a network reads.
            reads = ("none", "cooccurrence")
        if reads is not None and self.source not in reads:
            raise ValueError(
                f"option source expects one of {reads} with method {self.method!r}, "
                f"coder {self.coder!r} and composer {self.composer!r}, got "
                f"{self.source!r}"
            )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


_UNIT = {"budget", "guidance_mix", "code_dropout", "dropout", "word_dropout"}
_FROM_ZERO = {"query_dim", "label_weight", "guidance_weight"}


def _check(name: str, value: object, default: object) -> None:
    """Refuse what the option cannot be.

    Raises:
        ValueError: In a sentence.
    """
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"option {name} expects {_CHOICES[name]}, got {value!r}")
        return
    kinds = (int, float) if isinstance(default, float) else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"option {name} expects a number as {default}, got {value!r}")
    low = 0 if name in _UNIT | _FROM_ZERO else 1 if kinds == (int,) else None
    if low is None:
        if value <= 0:
            raise ValueError(f"option {name} expects a number above 0, got {value!r}")
    elif value < low or (name in _UNIT and value >= 1 and name != "guidance_mix"):
        raise ValueError(f"option {name} is out of range: {value!r}")
