"""Choice: a configuration that auto may pick, and its bytes."""

from dataclasses import dataclass
from typing import Self

from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import build_encoder, code_recipe, needs_map
from kdgraph.training.recipes import resolve_config


@dataclass(frozen=True)
class Choice:
    """A configuration that auto may pick.

    Args:
        config: Resolved.
        bytes: What it stores.
    """

    config: TrainConfig
    bytes: int

    @classmethod
    def of(cls, config: TrainConfig, graph: Graph) -> Self:
        """Resolve a configuration with a recipe of codes; they are counted, not made.

        Args:
            config: What may be picked.
            graph: Where it will be trained.
        """
        config = resolve_config(config, graph)
        recipe, encoder = code_recipe(config), build_encoder(config, 1)
        if recipe is None or not isinstance(encoder, KDEmbedding):
            return cls(config, 0)
        in_order = not needs_map(config, graph)
        codes = recipe.stored_bytes(graph.num_nodes, in_order=in_order)
        return cls(config, codes + encoder.composer.stored_bytes())
