"""Encoders under DistributedDataParallel, without an option, in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from kdgraph import KDEmbedding
from kdgraph.coders import SoftmaxCoder, VQCoder
from kdgraph.composers import ConcatComposer, MLPComposer, SumComposer
from kdgraph.nn import CodedSAGEConv

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(),
    reason="torch was built without gloo",
)
N_ID = torch.tensor([3, 3, 7, 1, 0, 19])
KINDS = {
    "vq": lambda: (VQCoder(), SumComposer(4)),
    "vq sparse": lambda: (VQCoder(sparse=True), MLPComposer()),
    "query": lambda: (SoftmaxCoder(), ConcatComposer(code_dim=4)),
    "query sparse": lambda: (SoftmaxCoder(sparse=True), "concat"),
    "free affine sparse": lambda: (
        SoftmaxCoder("free", normalize="affine", sparse=True),
        "sum",
    ),
    "fixed": lambda: ("fixed", "recurrent"),
}


def make(kind):
    torch.manual_seed(0)
    coder, composer = KINDS[kind]()
    return KDEmbedding(20, 9, codebook_size=(4, 5, 3), coder=coder, composer=composer)


def optimizers(encoder):
    """As documented: SparseAdam for the coder, Adam for the rest."""
    if not getattr(encoder.coder, "sparse", False):
        return [torch.optim.Adam(encoder.parameters(), lr=0.1)]
    return [
        torch.optim.SparseAdam(encoder.coder.parameters(), lr=0.1),
        torch.optim.Adam(encoder.composer.parameters(), lr=0.1),
    ]


def train(encoder, call, parts):
    """Two steps along the mean of the gradients of some parts of a batch."""
    steps = optimizers(encoder)
    for _ in range(2):
        encoder.zero_grad()
        for ids in parts:
            call(ids).square().mean().backward()
        for parameter in encoder.parameters():
            parameter.grad = parameter.grad / len(parts)
        for optimizer in steps:
            optimizer.step()
    return dict(encoder.named_parameters())


def in_two_processes(task, folder):
    """Run a task as ranks 0 and 1, in new processes, as no thread outlives a fork."""
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, task, str(rank), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=300)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)


def work(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    for number, kind in enumerate(KINDS):
        encoder = make(kind)
        parallel = nn.parallel.DistributedDataParallel(encoder)
        state = train(encoder, parallel, [N_ID.view(2, 3)[rank]])
        torch.save(state, f"{folder}/{number}-{rank}.pt")
    distributed.destroy_process_group()


def shard(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    mesh = init_device_mesh("cpu", (2,))
    ids, edge_index = N_ID.view(2, 3)[rank], torch.tensor([[0, 1, 2], [1, 2, 0]])
    torch.manual_seed(1)
    conv = CodedSAGEConv(9, 3)
    for kind in ("vq", "query", "fixed"):
        ways = [
            lambda encoder: encoder(ids),
            lambda encoder: encoder.encode(ids).x,
            lambda encoder: conv(encoder.coded(ids), edge_index),
        ]
        for way in ways:
            alone, sharded = make(kind), make(kind)
            fully_shard(sharded, mesh=mesh)
            for encoder in (alone, sharded):
                way(encoder).square().sum().backward()
            for one, part in zip(alone.parameters(), sharded.parameters(), strict=True):
                if one.grad is None:  # the penalty is left out by one way
                    continue
                expected = one.grad.clone()
                distributed.all_reduce(expected)
                found = part.grad.full_tensor()
                torch.testing.assert_close(found, expected / 2)
    distributed.destroy_process_group()


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="older releases of torch were not seen to shard on the CPU",
)
def test_sharded_parameters_are_whole_in_every_forward_pass(tmp_path: Path):
    in_two_processes("shard", tmp_path)


def test_two_processes_are_one(tmp_path: Path):
    in_two_processes("work", tmp_path)
    for number, kind in enumerate(KINDS):
        first, second = (torch.load(tmp_path / f"{number}-{r}.pt") for r in range(2))
        torch.testing.assert_close(first, second, rtol=0, atol=0, msg=kind)
        if "affine" in kind:
            continue  # statistics are those of each process
        encoder = make(kind)
        torch.testing.assert_close(first, train(encoder, encoder, N_ID.view(2, 3)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "sparse" in kind])
def test_all_parameters_of_a_sparse_coder_have_sparse_gradients(kind):
    for ids in (N_ID, None):
        encoder = make(kind)
        encoder(ids).square().sum().backward()
        parameters = list(encoder.coder.parameters())
        assert all(parameter.grad.is_sparse for parameter in parameters)
        before = [parameter.detach().clone() for parameter in parameters]
        torch.optim.SparseAdam(encoder.coder.parameters(), lr=0.1).step()
        assert not any(map(torch.equal, parameters, before))


if __name__ == "__main__":
    {"work": work, "shard": shard}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
