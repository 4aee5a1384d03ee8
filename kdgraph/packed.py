"""PackedEmbedding: frozen bits and a composer, an encoder again."""

import copy

from torch import Tensor

from kdgraph.coded import CodedEncoder
from kdgraph.codes import CodeTable
from kdgraph.composers import Composer
from kdgraph.encoder import Encoding
from kdgraph.ops import Selection, unpack


class PackedEmbedding(CodedEncoder):
    """Frozen codes and a frozen composer: what is left of an encoder after training.

    Args:
        table: The packed codes.
        composer: A bound composer; it is copied.

    Raises:
        ValueError: Codes and composer that do not fit.
    """

    packed: Tensor

    def __init__(self, table: CodeTable, composer: Composer) -> None:
        super().__init__(table.num_nodes, composer.embedding_dim)
        if table.codebook_sizes != composer.codebook_sizes:
            raise ValueError(
                f"PackedEmbedding got codes with K = {table.codebook_sizes} and a composer "
                f"for K = {composer.codebook_sizes}"
            )
        self.register_buffer("packed", table.packed)
        self.composer = copy.deepcopy(composer).requires_grad_(False).eval()
        self.eval()

    def reset_parameters(self) -> None:
        """Nothing is learned here, so nothing is drawn."""

    def _read_codes(self, n_id: Tensor | None) -> Tensor:
        rows = self.packed if n_id is None else self.packed.index_select(0, n_id)
        return unpack(rows, self.codebook_sizes)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        selection = Selection(self._read_codes(n_id))
        x = self.composer(selection)
        return Encoding(x, x.new_zeros(()), selection)
