"""Strategies: configured first, sized later."""

import inspect

import pytest

from kdgraph import KDEmbedding
from kdgraph.coders import CODERS, FixedCoder, GumbelCoder, SoftmaxCoder, ThresholdCoder
from kdgraph.composers import COMPOSERS, MLPComposer, SumComposer


@pytest.mark.parametrize("cls", [*CODERS, *COMPOSERS])
def test_the_configuration_is_the_constructor(cls):
    strategy = cls()
    parameters = inspect.signature(cls).parameters
    assert strategy.config == {n: p.default for n, p in parameters.items()}
    assert cls(**strategy.config).config == strategy.config
    assert not strategy.bound
    assert not list(strategy.parameters())
    assert "\n" not in repr(strategy)


def test_repr_shows_what_differs_from_the_default():
    assert repr(SoftmaxCoder()) == "SoftmaxCoder()"
    assert (
        repr(SoftmaxCoder(2, sparse=True)) == "SoftmaxCoder(query_dim=2, sparse=True)"
    )
    assert repr(SumComposer(norm="batch")) == "SumComposer(norm='batch')"
    assert repr(MLPComposer(pool="mean")) == "MLPComposer(pool='mean')"
    assert repr(FixedCoder("compact")) == "FixedCoder(compact)"


def test_configuration_survives_training_state():
    encoder = KDEmbedding(
        9, 8, num_codebooks=4, codebook_size=2, coder=ThresholdCoder(temperature=0.5)
    )
    encoder.coder.temperature.fill_(0.1)
    assert encoder.coder.config["temperature"] == 0.5
    again = KDEmbedding(
        9,
        8,
        num_codebooks=4,
        codebook_size=2,
        coder=ThresholdCoder(**encoder.coder.config),
    )
    assert repr(again) == repr(encoder)


@pytest.mark.parametrize("role", ["coder", "composer"])
def test_a_strategy_serves_one_encoder(role):
    strategy = GumbelCoder("free") if role == "coder" else SumComposer()
    sizes = {"num_codebooks": 4, "codebook_size": 4}
    KDEmbedding(9, 8, **sizes, **{role: strategy})
    with pytest.raises(ValueError, match="already belongs to an encoder"):
        KDEmbedding(9, 8, **sizes, **{role: strategy})
