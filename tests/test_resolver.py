"""Names, classes and instances."""

import pytest

from kdgraph import KDEmbedding
from kdgraph.coders import CODERS, Coder, FixedCoder, SoftmaxCoder, VQCoder
from kdgraph.composers import COMPOSERS, Composer, ConcatComposer, SumComposer
from kdgraph.resolver import resolve


class OwnCoder(SoftmaxCoder):
    """A coder of someone else's, which no list here knows."""


@pytest.mark.parametrize(
    "query",
    ["softmax", "SoftmaxCoder", "Softmax", "soft-max", "SOFT_MAX coder", SoftmaxCoder],
)
def test_names_and_classes(query):
    found = resolve(query, Coder, CODERS)
    assert type(found) is SoftmaxCoder


def test_every_class_has_a_name():
    for base, classes in ((Coder, CODERS), (Composer, COMPOSERS)):
        for cls in classes:
            short = cls.__name__.removesuffix(base.__name__).lower()
            assert type(resolve(short, base, classes)) is cls


def test_instances_pass_through():
    for instance in (VQCoder(restart_every=3), OwnCoder()):
        assert resolve(instance, Coder, CODERS) is instance


def test_classes_of_others():
    assert type(resolve(OwnCoder, Coder, CODERS)) is OwnCoder
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=4, coder=OwnCoder())
    assert encoder().shape == (9, 8)


def test_unknown_names_list_the_choices():
    with pytest.raises(
        ValueError, match=r"unknown coder 'sotfmax'.*'fixed'.*'softmax'"
    ):
        resolve("sotfmax", Coder, CODERS)
    with pytest.raises(ValueError, match="did you mean 'gumbel'"):
        resolve("gumble", Coder, CODERS)
    with pytest.raises(ValueError, match="unknown composer 'softmax'"):
        resolve("softmax", Composer, COMPOSERS)
    with pytest.raises(ValueError, match="unknown coder ''"):
        resolve("", Coder, CODERS)


@pytest.mark.parametrize(
    ("query", "got"),
    [
        (3, "int"),
        (None, "NoneType"),
        (SumComposer, "SumComposer"),
        (SumComposer(), "SumComposer"),
        (int, "int"),
    ],
)
def test_other_things(query, got):
    with pytest.raises(TypeError, match=f"expected a coder as a name.*got {got}"):
        resolve(query, Coder, CODERS)


def test_the_encoder_takes_all_three():
    for coder in ("fixed", FixedCoder, FixedCoder()):
        for composer in ("concat", ConcatComposer, ConcatComposer()):
            encoder = KDEmbedding(
                9,
                8,
                num_codebooks=4,
                codebook_size=4,
                coder=coder if isinstance(coder, str | type) else FixedCoder(),
                composer=composer,
            )
            assert isinstance(encoder.coder, FixedCoder)
            assert isinstance(encoder.composer, ConcatComposer)
