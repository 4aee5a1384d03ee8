"""The law of encoders: one suite for every coder, composer and baseline."""

import copy
import inspect
import io
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import kdgraph
from kdgraph import Encoder, KDEmbedding, PackedEmbedding, baselines
from kdgraph.coded import CodedEncoder
from kdgraph.coders import CODERS, FixedCoder, GumbelCoder, RefinedCoder, VQCoder
from kdgraph.composers import COMPOSERS, LinearComposer

N_ID = torch.tensor([3, 22, 0, 3, 7, 11, 15])
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
SYNCHRONISING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
    torch.ops.aten._unique2.default,
}


def learned(encoder):
    """Parameters that training moves, by name."""
    return {n: p for n, p in encoder.named_parameters() if p.requires_grad}


def loss_of(encoding):
    return (encoding.x.float() * torch.randn(encoding.x.shape)).sum() + encoding.penalty


def states_equal(left, right):
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


# --- ids ------------------------------------------------------------------------------


def test_ids_of_any_shape(encoder):
    encoder.eval()
    assert encoder().shape == (encoder.num_nodes, encoder.embedding_dim)
    flat = encoder(N_ID)
    assert flat.shape == (7, encoder.embedding_dim)
    assert torch.equal(flat[0], flat[3])  # the same id twice
    square = encoder(N_ID[:6].view(2, 3))
    assert square.shape == (2, 3, encoder.embedding_dim)
    assert torch.equal(square.flatten(0, 1), encoder(N_ID[:6]))
    assert torch.equal(encoder(torch.tensor(5)), encoder(torch.tensor([5]))[0])
    for narrow in (torch.int32, torch.int16, torch.uint8):
        assert torch.equal(encoder(N_ID.to(narrow)), flat)
    for empty in ((0,), (0, 3), (2, 0)):
        ids = torch.empty(empty, dtype=torch.long)
        assert encoder(ids).shape == (*empty, encoder.embedding_dim)


def test_all_nodes_are_the_nodes(encoder):
    encoder.eval()
    every = encoder(torch.arange(encoder.num_nodes))
    assert torch.equal(encoder(), every)
    torch.testing.assert_close(encoder(N_ID), every[N_ID])


def test_empty_batch_trains(encoder):
    encoding = encoder.encode(torch.empty(0, dtype=torch.long))
    assert encoding.x.shape == (0, encoder.embedding_dim)
    assert float(encoding.penalty) == 0.0


@pytest.mark.parametrize("bad", [[23], [-1], [0, 5, 1000], [[2], [-7]]])
def test_ids_out_of_range(encoder, bad):
    calls = [encoder, encoder.encode]
    if isinstance(encoder, CodedEncoder):
        calls.append(encoder.codes)
    for call in calls:
        with pytest.raises(IndexError, match=r"\[0, 23\).*local ids.*batch\.n_id"):
            call(torch.tensor(bad))


@pytest.mark.parametrize(
    "bad",
    [
        torch.tensor([1.0]),
        torch.zeros(23, dtype=torch.bool),
        torch.tensor([1j]),
        [1, 2],
    ],
    ids=["float", "mask", "complex", "list"],
)
def test_ids_of_another_type(encoder, bad):
    with pytest.raises(TypeError, match=type(encoder).__name__):
        encoder(bad)


def test_permuting_ids_permutes_vectors(encoder):
    encoder.eval()
    order = torch.randperm(encoder.num_nodes)
    torch.testing.assert_close(encoder(order), encoder()[order])


def test_inputs_stay_as_they_are(encoder):
    ids = N_ID.clone()
    loss_of(encoder.encode(ids))
    assert torch.equal(ids, N_ID)
    if isinstance(encoder, CodedEncoder):
        codes = encoder.codes(ids)
        before = codes.clone()
        encoder.composer(codes)
        assert torch.equal(codes, before)


# --- the invariant --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_composer_of_codes_is_encoder_is_export(encoder, dtype):
    encoder.to(dtype).eval()
    for ids in (None, N_ID, N_ID[:6].view(3, 2), N_ID[:1]):
        x = encoder(ids)
        assert x.dtype == dtype
        assert torch.isfinite(x).all()
        assert torch.equal(encoder.export()(ids), x)
        if isinstance(encoder, CodedEncoder):
            codes = encoder.codes(ids)
            assert torch.equal(encoder.composer(codes), x)
            assert torch.equal(encoder.export().codes(ids), codes)


def test_export_is_frozen_and_apart(encoder):
    packed = encoder.export()
    assert not packed.training
    assert not learned(packed)
    assert packed.inference_bytes() == encoder.inference_bytes()
    before = packed()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1.0)
    assert torch.equal(packed(), before)
    if isinstance(encoder, CodedEncoder):
        assert isinstance(packed, PackedEmbedding)


def test_evaluation_is_deterministic_and_changes_nothing(encoder):
    encoder.eval()
    before = copy.deepcopy(encoder)
    assert torch.equal(encoder(), encoder())
    assert states_equal(before, encoder)


def test_reading_codes_in_training_is_evaluation(encoder):
    if not isinstance(encoder, CodedEncoder):
        pytest.skip("no codes")
    before = copy.deepcopy(encoder)
    modes = [module.training for module in encoder.modules()]
    codes = encoder.codes(N_ID)
    assert [module.training for module in encoder.modules()] == modes
    assert states_equal(before, encoder)
    assert torch.equal(codes, encoder.eval().encode(N_ID).selection.codes)
    for position, size in enumerate(encoder.codebook_sizes):
        assert (
            0 <= int(codes[:, position].min()) <= int(codes[:, position].max()) < size
        )
    assert torch.equal(encoder.code_table().codes(N_ID), codes)


# --- state ----------------------------------------------------------------------------


def test_reset_changes_and_reseeds(encoder):
    if not learned(encoder):
        pytest.skip("nothing to reset")
    scrambled = copy.deepcopy(encoder)
    torch.manual_seed(1)
    encoder.reset_parameters()
    moved = dict(scrambled.named_parameters())
    for name, parameter in encoder.named_parameters():
        assert not torch.equal(parameter, moved[name]), name
    first = copy.deepcopy(encoder)
    torch.manual_seed(1)
    encoder.reset_parameters()
    assert states_equal(first, encoder)
    torch.manual_seed(2)
    encoder.reset_parameters()
    assert not states_equal(first, encoder)


def test_codes_that_were_given_survive_a_reset(encoder):
    coder = getattr(encoder, "coder", None)
    if not isinstance(coder, FixedCoder):
        pytest.skip("codes are learned")
    before = encoder.codes()
    encoder.reset_parameters()
    assert torch.equal(before, encoder.codes()) == (coder.source != "random")


def test_state_dict_round_trip(encoder, encoder_case):
    encoder.eval()
    file = io.BytesIO()
    torch.save(encoder.state_dict(), file)
    file.seek(0)
    other = encoder_case.make().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(), encoder())


def test_copies_are_equal_and_apart(encoder):
    encoder.eval()
    x = encoder()
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(), x)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        assert torch.equal(encoder(), x)


def test_repr_is_one_line(encoder):
    text = repr(encoder)
    assert "\n" not in text
    assert text.startswith(f"{type(encoder).__name__}(23, 8")
    if isinstance(encoder, CodedEncoder):
        assert repr(encoder.composer) in text


# --- training -------------------------------------------------------------------------


def test_gradient_reaches_every_parameter(encoder):
    if not learned(encoder):
        pytest.skip("nothing to learn")
    loss_of(encoder.encode(N_ID)).backward()
    for name, parameter in learned(encoder).items():
        assert parameter.grad is not None, name
        grad = parameter.grad.to_dense()
        assert torch.isfinite(grad).all(), name
        assert grad.any(), name


def test_gradient_touches_rows_of_the_batch_only(encoder):
    tables = {n: p for n, p in learned(encoder).items() if p.size(0) == 23}
    if not tables:
        pytest.skip("no table of nodes")
    loss_of(encoder.encode(N_ID)).backward()
    for name, table in tables.items():
        touched = table.grad.to_dense().any(dim=1).nonzero().flatten()
        assert touched.tolist() == N_ID.unique().tolist(), name
        assert table.grad.is_sparse == getattr(
            getattr(encoder, "coder", encoder), "sparse", False
        )


def test_training_from_the_cold_start_moves_vectors(encoder, encoder_case):
    if not learned(encoder) or "sparse" in encoder_case.name:
        pytest.skip("nothing to learn, or not by this optimizer")
    encoder.reset_parameters()
    target = torch.randn(23, 8)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.02)
    before = encoder.eval()().detach().clone()
    encoder.train()
    losses = []
    for _ in range(15):
        encoding = encoder.encode()
        loss = (encoding.x - target).square().mean()
        optimizer.zero_grad()
        (loss + encoding.penalty).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert not torch.equal(encoder.eval()(), before)
    if "vq" not in encoder_case.name:  # its queries first have to leave zero
        assert min(losses[-5:]) < losses[0]


def test_autocast(encoder):
    encoder.eval()
    if isinstance(encoder, CodedEncoder):
        codes = encoder.codes(N_ID)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(encoder.codes(N_ID), codes)
    expected = encoder(N_ID)
    with torch.autocast("cpu", torch.bfloat16):
        x = encoder(N_ID)
    torch.testing.assert_close(x.float(), expected, atol=0.1, rtol=0.1)
    encoder.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(encoder.encode(N_ID))
    if learned(encoder):
        loss.backward()
    for name, parameter in learned(encoder).items():
        assert parameter.grad.dtype == torch.float32, name
        assert torch.isfinite(parameter.grad.to_dense()).all(), name


class _Watch(TorchDispatchMode):
    """Record every operation, and refuse those that would wait for a device."""

    def __init__(self):
        super().__init__()
        self.refused = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in SYNCHRONISING:
            self.refused.append(str(func))
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device(encoder, monkeypatch):
    # The range check is for the CPU, where it costs nothing; elsewhere it is skipped.
    monkeypatch.setattr(Encoder, "_check_ids", lambda self, n_id: None)
    for training in (True, False):
        encoder.train(training)
        with _Watch() as watch:
            for ids in (None, N_ID):
                loss = loss_of(encoder.encode(ids))
                if learned(encoder) and training:
                    loss.backward()
        assert not watch.refused


# --- bytes ----------------------------------------------------------------------------


def test_inference_bytes_are_those_of_the_stored_tensors(encoder):
    stored = encoder.stored_tensors().values()
    total = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    assert encoder.inference_bytes() == total


def test_stored_tensors_are_enough(encoder, encoder_case, scramble):
    scramble(encoder)
    stored = encoder.eval().stored_tensors()
    if isinstance(encoder, CodedEncoder):
        other = encoder.export()
        assert torch.equal(stored["codes"], other.packed)
        composer = copy.deepcopy(encoder.composer)
        scramble(composer)
        names = composer.stored_tensors().keys()
        composer.load_stored({name: stored[name] for name in names})
        other.composer = composer
    else:
        other = encoder_case.make().eval()
        scramble(other)
        other.load_state_dict(stored, strict=False)
    assert torch.equal(other(), encoder())


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum", "adagrad", "rmsprop"])
def test_training_bytes_are_what_an_optimizer_holds(encoder, encoder_case, name):
    parameters = list(learned(encoder).values())
    if not parameters or "sparse" in encoder_case.name:
        pytest.skip("nothing to train, or gradients of another size")
    optimizer = {
        "adam": lambda: torch.optim.Adam(parameters),
        "sgd": lambda: torch.optim.SGD(parameters, lr=0.1),
        "momentum": lambda: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        "adagrad": lambda: torch.optim.Adagrad(parameters),
        "rmsprop": lambda: torch.optim.RMSprop(parameters),
    }[name]()
    loss_of(encoder.encode()).backward()
    optimizer.step()
    held = [*encoder.parameters(), *encoder.buffers()]
    held += [parameter.grad for parameter in parameters]
    held += [
        value
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and key != "step"
    ]
    total = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert encoder.training_bytes(name) == total
    assert encoder.training_bytes(optimizer) == total


# --- the suite itself -----------------------------------------------------------------


def test_every_encoder_coder_and_composer_is_here(encoder_cases):
    encoders = [case.make() for case in encoder_cases]
    kinds = {type(encoder) for encoder in encoders}
    exported = [getattr(kdgraph, name) for name in kdgraph.__all__]
    exported += [getattr(baselines, name) for name in baselines.__all__]
    laws = {
        cls
        for cls in exported
        if inspect.isclass(cls)
        and issubclass(cls, Encoder)
        and not inspect.isabstract(cls)
    }
    assert laws <= kinds, laws - kinds
    coded = [encoder for encoder in encoders if isinstance(encoder, KDEmbedding)]
    pairs = {(type(encoder.coder), type(encoder.composer)) for encoder in coded}
    possible = {
        (coder, part)
        for coder in CODERS
        for part in COMPOSERS
        # The one that refines needs vectors that are a sum over positions.
        if coder is not RefinedCoder or issubclass(part, LinearComposer)
    }
    assert pairs == possible
    packed = {type(e.composer) for e in encoders if isinstance(e, PackedEmbedding)}
    assert packed == set(COMPOSERS)


def test_noise_is_drawn_in_training_only(encoder):
    coder = getattr(encoder, "coder", None)
    x, again = encoder(N_ID), encoder(N_ID)
    assert torch.equal(x, again) != isinstance(coder, GumbelCoder)


def test_penalty_is_a_scalar_and_vq_s_alone(encoder):
    penalty = encoder.encode(N_ID).penalty.detach()
    assert penalty.shape == ()
    assert (float(penalty) > 0) == isinstance(getattr(encoder, "coder", None), VQCoder)


# --- modules whose memory comes later -------------------------------------------------


def without_memory(encoder_case):
    """An encoder on the meta device; one of given values is moved there."""
    given = ("packed", "position", "frozen", "int8-rows", "int4-rows")
    given += ("fixed-given", "fixed-prefix")
    if encoder_case.name.startswith(given):
        return encoder_case.make().to("meta")
    with torch.device("meta"):
        return encoder_case.make()


@pytest.mark.parametrize("assign", [False, True])
def test_deferred_initialisation(encoder_case, assign):
    expected = encoder_case.make()
    state = copy.deepcopy(expected.state_dict())
    encoder = without_memory(encoder_case)
    if not assign:
        encoder.to_empty(device="cpu")
        for tensor in (*encoder.parameters(), *encoder.buffers()):
            tensor.data.flatten().view(torch.uint8).fill_(77)  # whatever was there
        encoder.reset_parameters()
    encoder.load_state_dict(state, assign=assign)
    assert torch.equal(encoder.eval()(N_ID), expected.eval()(N_ID))
    assert states_equal(encoder, expected)


def test_plain_training_gives_every_parameter_a_gradient(encoder):
    if not learned(encoder):
        return
    ways = [lambda: encoder(N_ID)]
    if isinstance(encoder, CodedEncoder):
        ways.append(lambda: encoder.coded(N_ID).linear())
        ways.append(lambda: encoder.coded().linear())
    for way in ways:
        encoder.zero_grad()
        x = way()
        (x.float() * torch.randn(x.shape)).sum().backward()
        assert all(p.grad is not None for p in learned(encoder).values())


# --- alphabets of a state -------------------------------------------------------------


def of_alphabets(sizes, coder="fixed"):
    return KDEmbedding(5, 4, codebook_size=sizes, coder=coder)


@pytest.mark.parametrize("coder", ["fixed", "softmax", "vq"])
@pytest.mark.parametrize("exported", [False, True])
def test_a_state_of_other_alphabets_is_refused(coder, exported):
    one, other = of_alphabets([4, 16], coder), of_alphabets([16, 4], coder)
    if exported:
        one, other = one.export(), other.export()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"K = \(16, 4\), got one with K = \(4, 16\)"):
        other.load_state_dict(one.state_dict())
    assert all(torch.equal(other.state_dict()[name], before[name]) for name in before)
    # A state that was saved before it had alphabets.
    old = {name: t for name, t in one.state_dict().items() if "_extra" not in name}
    one.load_state_dict(old)


@pytest.mark.parametrize("exported", [False, True])
def test_a_state_with_codes_above_their_alphabet_is_refused(exported):
    encoder = of_alphabets([3, 5])
    encoder = encoder.export() if exported else encoder
    state = copy.deepcopy(encoder.state_dict())
    key = "packed" if exported else "coder.packed"
    state[key][2, 0] = 3 + 4 * 2
    with pytest.raises(ValueError, match="row 2 has the code 3 at position 0"):
        encoder.load_state_dict(state)
    state[key][2, 0] = 1 << 7
    with pytest.raises(ValueError, match="bits set after the last code"):
        encoder.load_state_dict(state)
    assert not (encoder.state_dict()[key][2, 0] > 2 + 4 * 4)
