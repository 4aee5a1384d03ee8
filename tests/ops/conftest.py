"""Each implementation of the operations over codes, and each instruction set."""

import pytest

from kdgraph.ops import native
from kdgraph.ops.core import load_core

NATIVE = not native.unavailable("cpu")


@pytest.fixture(params=["reference", *(["native"] if NATIVE else [])])
def backend_name(request, monkeypatch):
    """Each implementation in turn."""
    monkeypatch.setenv("KDGRAPH_BACKEND", request.param)
    return request.param


@pytest.fixture(params=["avx512", "avx2", "portable"])
def isa(request):
    """Each instruction set in turn, as far as the processor has it."""
    if not NATIVE:
        pytest.skip("the compiled core was not built")
    core = load_core()
    before = core.kdgraph_chosen()
    if not core.kdgraph_choose(request.param.encode()):
        pytest.skip(f"the processor has no {request.param}")
    yield request.param
    core.kdgraph_choose(before)
