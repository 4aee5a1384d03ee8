"""Each implementation of the operations over codes, and each instruction set."""

import pytest

from kdgraph.ops import core, native

NATIVE = not native.unavailable("cpu")


@pytest.fixture(params=["reference", *(["native"] if NATIVE else [])])
def backend_name(request, monkeypatch):
    """Each implementation in turn."""
    monkeypatch.setenv("KDGRAPH_BACKEND", request.param)
    return request.param


@pytest.fixture(params=core.INSTRUCTION_SETS)
def isa(request):
    """Each instruction set in turn, as far as the processor has it."""
    if not NATIVE:
        pytest.skip("the compiled core was not built")
    library = core.load_core()
    before = library.kdgraph_chosen()
    if not library.kdgraph_choose(request.param.encode()):
        pytest.skip(f"the processor has no {request.param}")
    yield request.param
    library.kdgraph_choose(before)
