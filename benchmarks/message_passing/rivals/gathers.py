"""Random rows: from codes, from a float table, by faiss and from int8 rows."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import Rival, code_bytes, table_bytes
from benchmarks.message_passing.roofline import Work, gather
from benchmarks.message_passing.setting import Setting
from kdgraph.ops import coded_gather


class _Gather(Rival):
    suites = ("gather",)
    baseline = "kdgraph-gather"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.n_id = inputs.n_id


class _CodedGather(_Gather):
    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return code_bytes(setting) | {"ids": 8 * setting.gathered}

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return gather(setting, setting.num_codebooks)


class CodedGather(_CodedGather):
    """``coded_gather``, as a user calls it, checks included."""

    name = "kdgraph-gather"
    label = "kdgraph coded_gather"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.rows = (inputs.codes, inputs.codebooks)

    @override
    def run(self) -> Tensor:
        return coded_gather(*self.rows, self.n_id)


class FaissDecode(_CodedGather):
    """``sa_decode`` of a product quantiser that was given our codebooks."""

    name = "faiss"
    label = "faiss sa_decode"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        import faiss  # noqa: PLC0415 - may be missing, and then is no rival

        books = inputs.codebooks
        setting = inputs.setting
        if setting.codebook_size != 256:
            raise ImportError("faiss for codebooks of another size than 256")
        faiss.omp_set_num_threads(torch.get_num_threads())
        self.index = faiss.IndexPQ(setting.channels, setting.num_codebooks, 8)
        faiss.copy_array_to_vector(books.numpy().ravel(), self.index.pq.centroids)
        self.index.is_trained = True
        self.codes = inputs.codes

    @override
    def run(self) -> Tensor:
        codes = self.codes[self.n_id].numpy()
        return torch.from_numpy(self.index.sa_decode(codes))


class TableGather(_Gather):
    """``torch.nn.Embedding``."""

    name = "embedding"
    label = "torch Embedding, float32 rows"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        table = inputs.table()
        self.embedding = nn.Embedding(table.size(0), table.size(1), _weight=table)

    @override
    def run(self) -> Tensor:
        rows: Tensor = self.embedding(self.n_id)
        return rows

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return table_bytes(setting) | {"ids": 8 * setting.gathered}

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return gather(setting, 4 * setting.channels)


class Int8Gather(_Gather):
    """Rows of int8 as bags of one, which is torch's fastest way to read them."""

    name = "int8-gather"
    label = "torch embedding_bag, int8 rows"
    tolerance = 0.03

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        # Its code for int64 is slow.
        self.n_id = inputs.n_id.int()
        self.offsets = torch.arange(len(self.n_id) + 1, dtype=torch.int32)
        self.rows: Tensor = torch.ops.quantized.embedding_bag_byte_prepack(
            inputs.table()
        )

    @override
    def run(self) -> Tensor:
        rows: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
            self.rows, self.n_id, self.offsets, mode=0, include_last_offset=True
        )
        return rows

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        rows = setting.num_nodes * (setting.channels + 8)
        return {"rows": rows, "ids": 8 * setting.gathered}

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return gather(setting, setting.channels + 8)
