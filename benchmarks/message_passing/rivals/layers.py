"""A first layer with its linear map: on codes, and on a table; forward and backward."""

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from benchmarks.message_passing.exact import Signature, row_sums
from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.rivals.base import (
    Rival,
    code_bytes,
    graph_bytes,
    output_bytes,
    table_bytes,
)
from benchmarks.message_passing.rivals.pyg import gcn_conv, with_linear
from benchmarks.message_passing.roofline import Work, aggregation
from benchmarks.message_passing.setting import Setting
from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable
from kdgraph.composers import ConcatComposer
from kdgraph.nn import CodedGCNConv


def coded_encoder(inputs: Inputs) -> KDEmbedding:
    """An encoder with the codes and the codebooks of the benchmark."""
    setting, books = inputs.setting, inputs.codebooks
    sizes = [setting.codebook_size] * setting.num_codebooks
    encoder = KDEmbedding(
        setting.num_nodes,
        setting.channels,
        coder=FixedCoder(CodeTable.from_codes(inputs.codes, sizes)),
        composer=ConcatComposer(null_code=False),
    )
    with torch.no_grad():
        encoder.composer.weight.copy_(books.flatten(0, 1))
    return encoder


def coded_conv(inputs: Inputs) -> CodedGCNConv:
    """A layer of kdgraph with the weight that every layer here has."""
    channels = inputs.setting.channels
    conv = CodedGCNConv(channels, channels, normalize=False, bias=False)
    with torch.no_grad():
        conv.lin.weight.copy_(inputs.linear(0, channels, channels))
    return conv


class CodedLayer(Rival):
    """``CodedGCNConv(encoder.coded())``, forward."""

    name = "kdgraph-layer"
    label = "kdgraph CodedGCNConv"
    suites = ("forward",)
    baseline = "kdgraph-layer"
    prefix = "mapped "

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency = inputs.adjacency()
        self.encoder: Any = coded_encoder(inputs)
        self.conv = coded_conv(inputs)

    @override
    def run(self) -> Tensor:
        output: Tensor = self.conv(self.encoder.coded(), self.adjacency)
        return output

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        return graph_bytes(setting) | code_bytes(setting)

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        return _mapped_in_the_cache(setting)


class _Trained(Rival):
    suites = ("both",)
    baseline = "kdgraph-both"
    gradients = True
    prefix = "mapped "
    conv: Any
    learned: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.adjacency, self.upstream = inputs.adjacency(), inputs.upstream()

    def features(self) -> Any:
        """What the layer is called with."""
        raise NotImplementedError

    @override
    def run(self) -> Tensor:
        self.learned.grad = self.conv.lin.weight.grad = None
        output: Tensor = self.conv(self.features(), self.adjacency)
        torch.autograd.backward(output, self.upstream)
        return output.detach()

    def codebook_gradient(self) -> Tensor:
        """Gradient by the codebooks, ``[D, K, S]``, or what it would be."""
        raise NotImplementedError

    @override
    def signature(self, output: Tensor) -> Signature:
        return row_sums(self.inputs, output, self.prefix) | {
            "linear": self.conv.lin.weight.grad.double().numpy(),
            "codebooks": self.codebook_gradient().double().numpy(),
        }


class CodedLayerTrained(_Trained):
    """``CodedGCNConv(encoder.coded())``; codebooks and the linear map learn."""

    name = "kdgraph-both"
    label = "kdgraph CodedGCNConv, codebooks learn"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.encoder: Any = coded_encoder(inputs)
        self.learned = self.encoder.composer.weight
        self.conv = coded_conv(inputs)

    @override
    def features(self) -> Any:
        return self.encoder.coded()

    @override
    def codebook_gradient(self) -> Tensor:
        gradient = self.learned.grad
        if gradient is None:
            raise RuntimeError("no gradient reached the codebooks")
        return gradient.view_as(self.inputs.codebooks)

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        upstream = {"upstream": output_bytes(setting)}
        return graph_bytes(setting) | code_bytes(setting) | upstream

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        # Backward makes the sums again, and adds their gradient to codewords.
        forward = _mapped_in_the_cache(setting)
        again = 2 * setting.num_edges * setting.channels
        products = 2 * setting.num_nodes * setting.channels**2
        moved = {name: 2 * count for name, count in forward.moved.items()}
        adds = forward.adds + again + products
        return Work(moved, adds, 2 * forward.rows, forward.spread)


class TableLayerTrained(_Trained):
    """PyG's GCNConv on CSR; the table and the linear map learn."""

    name = "pyg-both"
    label = "PyG GCNConv, CSR, table learns"

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.learned = nn.Parameter(inputs.table())
        self.conv = gcn_conv(inputs)

    @override
    def features(self) -> Any:
        return self.learned

    @override
    def codebook_gradient(self) -> Tensor:
        gradient, setting = self.learned.grad, self.inputs.setting
        if gradient is None:
            raise RuntimeError("no gradient reached the table")
        codes = self.inputs.codes
        parts = gradient.view(-1, setting.num_codebooks, self._width())
        found = torch.zeros(self.inputs.codebooks.shape)
        for j, book in enumerate(found):
            book.index_add_(0, codes[:, j].int(), parts[:, j])
        return found

    def _width(self) -> int:
        return self.inputs.setting.channels // self.inputs.setting.num_codebooks

    @classmethod
    @override
    def reads(cls, setting: Setting) -> dict[str, int]:
        upstream = {"upstream": output_bytes(setting)}
        return graph_bytes(setting) | table_bytes(setting) | upstream

    @classmethod
    @override
    def temporary(cls, setting: Setting) -> int:
        # The table's gradient, mapped rows, and the gradient by them; MKL's transpose.
        transposed = sum(graph_bytes(setting).values())
        return 3 * output_bytes(setting) + transposed

    @classmethod
    @override
    def work(cls, setting: Setting) -> Work:
        # Backward reads edges and rows again, and as many floats more; its linear map
        # is two products, by the rows and by the weight.
        forward = with_linear(aggregation(setting, 4 * setting.channels), setting)
        linear = setting.num_nodes * setting.channels**2
        moved = {name: 2 * count for name, count in forward.moved.items()}
        adds = 2 * forward.adds + linear
        return Work(moved, adds, 2 * forward.rows, forward.spread)


def _mapped_in_the_cache(setting: Setting) -> Work:
    """An aggregation over codes whose sums never leave the cache unmapped."""
    linear = setting.num_nodes * setting.channels**2
    return aggregation(setting, setting.num_codebooks).plus(adds=linear)
