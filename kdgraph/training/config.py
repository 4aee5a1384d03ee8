"""TrainConfig: every choice of a training run, checked and ready for JSON."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdgraph.training.metric import METRICS
from kdgraph.training.rivals import RIVALS
from kdgraph.training.stored import stored_fields

METHODS = ("kd", *RIVALS, "labelprop")
MODELS = ("gcn", "sage", "gat", "gin")
JUMPING = ("none", "cat")
GUIDANCE = ("none", "online", "pretrained", "labelprop", "diffusion")
CODERS = ("auto", "softmax", "gumbel", "vq", "threshold", "fixed", "refined")
STRUCTURAL = ("fixed", "refined")
"""Coders whose codes are there before training begins."""
COMPOSERS = ("sum", "concat", "mlp", "recurrent", "ring")
STORAGE = ("float32", "bfloat16", "int8")
BATCHING = ("full", "neighbor", "cluster")
PRECISION = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """How one method is trained on one graph.

    ``None`` stands for the recipe's choice (:func:`kdgraph.training.resolve_config`); a
    resolved configuration has none left where the method reads them. ``query_dim=0``
    stands for free logits.

    Raises:
        ValueError: A value out of range.
    """

    method: str = "kd"
    coder: str = "softmax"
    composer: str | None = None
    guidance: str | None = None
    num_codebooks: int | None = None
    codebook_size: int | tuple[int, ...] | None = None
    query_dim: int | None = None
    null_code: bool = True
    code_dropout: float | None = None
    code_dim: int | None = None
    storage: str | None = None
    codes: str | None = None
    refine_step: float = 1.0
    refine_every: int = 10
    compression: float | None = None
    bytes_per_node: float | None = None
    memory: int = 4 << 30
    rank: int | None = None
    max_bytes: int | None = None
    dim: int = 128
    model: str = "auto"
    root_weight: bool | None = None
    jk: str | None = None
    hidden_dim: int | None = None
    num_layers: int | None = None
    norm: str | None = None
    dropout: float | None = None
    input_dropout: float | None = None
    lr: float = 0.01
    weight_decay: float | None = None
    coder_weight_decay: float | None = None
    guidance_weight: float | None = None
    guidance_mix: float = 0.5
    entropy_weight: float = 0.0
    epochs: int | None = None
    patience: int | None = None
    metric: str | None = None
    eval_every: int = 1
    pos_weight: float = 0.0
    batching: str | None = None
    batch_size: int | None = None
    fanout: tuple[int, ...] | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (value is None and name in _BY_RECIPE):
                raise ValueError(
                    f"unknown {name} {value!r}: expected one of {', '.join(choices)}"
                )
        for name, smallest in _AT_LEAST.items():
            value = getattr(self, name)
            # Written so that NaN fails too.
            if value is not None and not smallest <= value <= _LARGEST:
                bound = "at least" if value < smallest else "finite and at least"
                raise ValueError(f"{name} is {bound} {smallest}, got {value}")
            most = _MOST_BYTES if name in ("memory", "max_bytes") else _MOST
            if isinstance(value, int) and value > most:
                raise ValueError(f"{name} is at most {most}, got {value}")
        for name in ("dropout", "input_dropout", "code_dropout"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < 1.0:
                raise ValueError(f"{name} lies in [0, 1), got {value}")
        if not 0.0 <= self.guidance_mix <= 1.0:
            raise ValueError(f"guidance_mix lies in [0, 1], got {self.guidance_mix}")
        if not 0.0 < self.lr <= _LARGEST:
            raise ValueError(f"lr is above 0 and at most {_LARGEST:g}, got {self.lr}")
        self._check_codes()
        self._check_guidance()
        self._check_batching()

    @property
    def by_rows(self) -> bool:
        """Whether a step touches the rows of a batch only."""
        return self.batching not in (None, "full")

    def _check_batching(self) -> None:
        if self.batching == "full":
            for name in ("batch_size", "fanout"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} is for mini-batches, got batching 'full'; leave out "
                        "one of them"
                    )
        fanout = self.fanout
        if fanout is None:
            return
        if self.batching == "cluster":
            raise ValueError(
                "fanout is for batching 'neighbor', got batching 'cluster', whose "
                "unions of clusters have all of their edges; leave out one of them"
            )
        if not fanout:
            raise ValueError("fanout is a number for each layer, got none")
        for number in fanout:
            if number < -1 or number == 0 or number > _MOST:
                raise ValueError(
                    "fanout is at least 1 neighbour for each layer, or -1 for all, got "
                    f"{number} in {','.join(map(str, fanout))}"
                )
        if self.num_layers is not None and self.num_layers != len(fanout):
            raise ValueError(
                f"fanout is a number for each of {self.num_layers} layers, got "
                f"{','.join(map(str, fanout))}"
            )

    def _check_codes(self) -> None:
        if not 0.0 < self.refine_step <= _LARGEST:
            raise ValueError(f"refine_step is above 0, got {self.refine_step}")
        if self.codes is not None and self.coder not in ("auto", *STRUCTURAL):
            raise ValueError(
                f"codes {self.codes!r} are given, but coder {self.coder!r} learns its "
                "own; use coder 'fixed' or 'refined'"
            )
        for name in ("compression", "bytes_per_node"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value <= _LARGEST:
                raise ValueError(f"{name} is above 0, got {value}")
            if value is not None and self.method == "kd" and self.coder != "auto":
                raise ValueError(
                    f"{name} is what coder 'auto' fits codes into, got coder "
                    f"{self.coder!r}; leave out one of them"
                )

    def _check_guidance(self) -> None:
        if self.guidance in ("online", "pretrained") and self.method != "kd":
            raise ValueError(
                f"guidance {self.guidance!r} helps codes learn and needs method 'kd', "
                f"got method {self.method!r}"
            )
        relaxed = self.method == "kd" and self.coder not in ("vq", *STRUCTURAL)
        if self.entropy_weight > 0 and not relaxed:
            raise ValueError(
                "entropy_weight needs method 'kd' and coder 'softmax', 'gumbel' or "
                f"'threshold', got method {self.method!r} and coder {self.coder!r}"
            )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "TrainConfig":
        """A copy with some values changed, checked again."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The inverse of :meth:`as_dict`, for what another version wrote too.

        Keys that this version does not know are left out, and a warning names them;
        for keys that older versions did not have see ``training.stored.added``.

        Raises:
            ValueError: A value out of range.
        """
        values = stored_fields(cls, values)
        size = values.get("codebook_size")
        if isinstance(size, Sequence) and not isinstance(size, str):
            values = values | {"codebook_size": tuple(size)}
        if values.get("fanout") is not None:
            values = values | {"fanout": tuple(values["fanout"])}
        return cls(**values)


_LARGEST = 1e30
"""A float32 step with more than this overflows, whatever the gradient."""
_MOST, _MOST_BYTES = (1 << 31) - 1, (1 << 62) - 1
"""Sizes, and bytes, whose products fit into 64 bits."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "coder": CODERS,
    "composer": COMPOSERS,
    "guidance": GUIDANCE,
    "model": ("auto", *MODELS),
    "jk": JUMPING,
    "storage": STORAGE,
    "batching": BATCHING,
    "precision": PRECISION,
    "metric": METRICS,
}
_BY_RECIPE = ("composer", "guidance", "storage", "batching", "metric", "jk")
_AT_LEAST = {
    "num_codebooks": 1,
    "query_dim": 0,
    "rank": 1,
    "max_bytes": 1,
    "dim": 1,
    "hidden_dim": 1,
    "num_layers": 1,
    "epochs": 1,
    "patience": 1,
    "eval_every": 1,
    "weight_decay": 0,
    "coder_weight_decay": 0,
    "guidance_weight": 0,
    "entropy_weight": 0,
    "code_dim": 1,
    "refine_every": 1,
    "memory": 1,
    "batch_size": 1,
    "pos_weight": 0,
}
