"""Pure functions over codes: packing, lookups, the straight-through estimator."""

from kdgraph.ops.arguments import HasPackedCodes, PackedCodes
from kdgraph.ops.aux_loss import carry, loss_carrier
from kdgraph.ops.backend import backend
from kdgraph.ops.choices import nearest_query_codes
from kdgraph.ops.codebooks import Codebooks
from kdgraph.ops.coded import coded_gather, coded_linear, coded_spmm, mapped_sums
from kdgraph.ops.csr import Csr
from kdgraph.ops.echo import Echo
from kdgraph.ops.lookup import lookup, lookup_sum
from kdgraph.ops.neighbor_sum import neighbor_sum
from kdgraph.ops.node_random import node_bytes
from kdgraph.ops.order import inverse_order
from kdgraph.ops.packed_selection import PackedSelection
from kdgraph.ops.packing import (
    MAX_CODEBOOK_SIZE,
    code_bits,
    pack,
    row_bytes,
    unpack,
)
from kdgraph.ops.pattern import Pattern
from kdgraph.ops.positions import pad_positions, position_offsets
from kdgraph.ops.repeats import FEWEST_IDS, distinct, repeat
from kdgraph.ops.rounding import Storage, Stored, as_stored, restore, store
from kdgraph.ops.sampled import Sampled
from kdgraph.ops.sampling import check_num_neighbors, sample_neighbors
from kdgraph.ops.selection import (
    LogitSelection,
    QuantizedSelection,
    QuerySelection,
    Readable,
    RelaxedSelection,
    Selection,
)
from kdgraph.ops.straight_through import at_least_float32, query_logits
from kdgraph.ops.subgraph import Subgraph, induced_subgraph
from kdgraph.ops.unpacking import unpack_nodes

__all__ = [
    "FEWEST_IDS",
    "MAX_CODEBOOK_SIZE",
    "Codebooks",
    "Csr",
    "Echo",
    "HasPackedCodes",
    "LogitSelection",
    "PackedCodes",
    "PackedSelection",
    "Pattern",
    "QuantizedSelection",
    "QuerySelection",
    "Readable",
    "RelaxedSelection",
    "Sampled",
    "Selection",
    "Storage",
    "Stored",
    "Subgraph",
    "as_stored",
    "at_least_float32",
    "backend",
    "carry",
    "check_num_neighbors",
    "code_bits",
    "coded_gather",
    "coded_linear",
    "coded_spmm",
    "distinct",
    "induced_subgraph",
    "inverse_order",
    "lookup",
    "lookup_sum",
    "loss_carrier",
    "mapped_sums",
    "nearest_query_codes",
    "neighbor_sum",
    "node_bytes",
    "pack",
    "pad_positions",
    "position_offsets",
    "query_logits",
    "repeat",
    "restore",
    "row_bytes",
    "sample_neighbors",
    "store",
    "unpack",
    "unpack_nodes",
]
