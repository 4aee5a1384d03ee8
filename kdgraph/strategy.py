"""Strategy: the part of an encoder that is configured first and sized later."""

import inspect
from typing import Any

from torch import nn


class Strategy(nn.Module):
    """A coder or a composer: configured by the user, sized by the encoder it serves.

    ``SoftmaxCoder(query_dim=2)`` says *how*; :class:`kdgraph.KDEmbedding` knows how
    many nodes, positions and choices there are, and binds the strategy to them once.
    Until then it has no parameters, and using it says so. Constructor arguments are
    kept as attributes of the same name.
    """

    bound: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(_derive)  # type: ignore[no-untyped-call]

    @property
    def config(self) -> dict[str, Any]:
        """The constructor arguments, by name."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def _derive(self) -> None:
        """Make buffers that follow from the sizes and are not saved.

        They come where the weights are. Called when those are drawn or loaded: a module
        that was made on the meta device has no values in them until then.
        """

    def _claim(self) -> None:
        """Mark as bound; one strategy serves one encoder."""
        if self.bound:
            raise ValueError(
                f"this {type(self).__name__} already belongs to an encoder; "
                "pass a new instance to each encoder"
            )
        self.bound = True

    def _require_bound(self) -> None:
        """Refuse use before the sizes are known."""
        if not self.bound:
            raise ValueError(
                f"this {type(self).__name__} has no sizes yet; "
                "pass it to KDEmbedding(...), which binds it, before using it"
            )

    def __repr__(self) -> str:
        """``Name(argument=value, ...)``, the arguments that differ from the default."""
        parameters = inspect.signature(type(self).__init__).parameters
        changed = ", ".join(
            f"{name}={value!r}"
            for name, value in self.config.items()
            if value != parameters[name].default
        )
        return f"{type(self).__name__}({changed})"


def _derive(strategy: Strategy, incompatible: object) -> None:  # noqa: ARG001
    """Derive after loading; a function by name, so that modules can be pickled."""
    if strategy.bound:
        strategy._derive()
