"""The methods that are measured: tables, codes, and every rival of the registry."""

from __future__ import annotations

from typing import NamedTuple

import torch

from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable, expand_sizes
from kdgraph.embedding import KDEmbedding
from kdgraph.encoder import Encoder
from kdgraph.ops import row_bytes
from kdgraph.training import TrainConfig, plan
from kdgraph.training.methods import build_encoder
from kdgraph.training.plan import PlanRow
from kdgraph.training.plan_rivals import Unfit, plan_rival
from kdgraph.training.reading import Reading
from kdgraph.training.rivals import RIVALS

DIM = 128
COMPRESSION = 50.0
NUM_CODEBOOKS = 32
CODEBOOK_SIZE = 3
QUERY_DIM = 1


class Method(NamedTuple):
    """One method.

    Args:
        config: How it is trained, with all nodes in a step.
        by_rows: Whether a step of a batch moves the rows of nodes by ``SparseAdam``,
            where it has such rows.
    """

    config: TrainConfig
    by_rows: bool = True

    def encoder(self, num_nodes: int, *, all_nodes: bool = False) -> Encoder:
        """Made for training, with nothing read off a graph.

        Args:
            num_nodes: Number of nodes N.
            all_nodes: For steps of all nodes. (default: ``False``)
        """
        if self.config.coder == "fixed":
            return _with_codes(num_nodes)
        config = self.config_of(all_nodes=all_nodes)
        encoder = build_encoder(config, num_nodes)
        if any(tensor.is_meta for tensor in encoder.state_dict().values()):
            # Vectors that are read off a graph have no stand-in of their own.
            vectors = torch.zeros(num_nodes, DIM)
            return build_encoder(config, num_nodes, Reading(vectors=vectors))
        return encoder

    def config_of(self, *, all_nodes: bool) -> TrainConfig:
        """For steps of all nodes, or of a batch."""
        return self.config if all_nodes or not self.by_rows else _in_batches(self)

    def kept(self, num_nodes: int) -> Encoder:
        """What is left after training: frozen, exported, or rounded."""
        rival = RIVALS.get(self.config.method)
        if rival is not None and rival.kept is not None:
            return rival.kept(self.config, num_nodes, Reading())
        encoder = self.encoder(num_nodes)
        if type(encoder).export is Encoder.export:
            # A copy is for those who train on; what is stored is the same.
            return encoder.requires_grad_(requires_grad=False).eval()
        return encoder.export()

    def planned(self, num_nodes: int) -> PlanRow | Unfit:
        """What ``kdgraph plan`` says of it."""
        if self.config.method != "kd":
            return plan_rival(self.config, num_nodes)
        rows = plan(
            num_nodes,
            DIM,
            num_codebooks=NUM_CODEBOOKS,
            codebook_size=CODEBOOK_SIZE,
            query_dim=QUERY_DIM,
        )
        return next(row for row in rows if _same_codes(row.config, self.config))


def _with_codes(num_nodes: int) -> Encoder:
    """Codes that are there, all zero: drawing them would take more than they do."""
    sizes = expand_sizes(NUM_CODEBOOKS, CODEBOOK_SIZE)
    packed = torch.zeros(num_nodes, row_bytes(sizes), dtype=torch.uint8)
    coder = FixedCoder(CodeTable(packed, sizes))
    return KDEmbedding(num_nodes, DIM, coder=coder, composer="concat")


def _in_batches(method: Method) -> TrainConfig:
    return method.config.replace(batching="neighbor")


def _same_codes(one: TrainConfig, other: TrainConfig) -> bool:
    names = ("method", "coder", "guidance", "query_dim")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _methods() -> dict[str, Method]:
    plain = TrainConfig(
        dim=DIM, guidance="none", weight_decay=0.0, coder_weight_decay=0.0
    )
    rival = plain.replace(method="full", compression=COMPRESSION)
    codes = plain.replace(
        composer="concat",
        num_codebooks=NUM_CODEBOOKS,
        codebook_size=CODEBOOK_SIZE,
    )
    found = {
        "full-dense": Method(rival, by_rows=False),
        "full": Method(rival),
        "kd-fixed": Method(codes.replace(coder="fixed")),
        "kd-softmax": Method(codes.replace(query_dim=QUERY_DIM)),
    }
    seen = set()
    for name, made in RIVALS.items():
        # Some differ in what they read or in what is made of scores, not in bytes.
        if (made.make, made.kept) not in seen:
            seen.add((made.make, made.kept))
            found[name] = Method(rival.replace(method=name))
    return found


METHODS = _methods()
"""By name: that of ``--method``, and three besides."""
