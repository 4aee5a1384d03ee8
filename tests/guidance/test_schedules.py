"""Schedules against their closed forms."""

import pytest

from kdgraph import KDEmbedding
from kdgraph.coders import VQCoder
from kdgraph.guidance import (
    ConstantSchedule,
    EntropyRegularization,
    ExponentialSchedule,
    InverseTimeSchedule,
    TemperatureSchedule,
)
from kdgraph.guidance.schedules import as_schedule


@pytest.mark.parametrize("staircase", [False, True])
@pytest.mark.parametrize("step", [0, 1, 7, 10, 25, 1000])
def test_closed_forms(step, staircase):
    options = {"start": 2.0, "rate": 0.5, "steps": 10, "stop": 0.1}
    periods = step // 10 if staircase else step / 10
    exponential = ExponentialSchedule(**options, staircase=staircase)
    assert exponential(step) == pytest.approx(max(0.1, 2.0 * 0.5**periods))
    inverse = InverseTimeSchedule(**options, staircase=staircase)
    assert inverse(step) == pytest.approx(max(0.1, 2.0 / (1 + 0.5 * periods)))
    assert ConstantSchedule(0.3)(step) == 0.3


def test_growth_stops_at_the_start():
    assert ExponentialSchedule(1.0, 2.0)(5) == 1.0


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"rate": -1.0}, {"stop": 3.0}, {"stop": -1.0}],
    ids=str,
)
@pytest.mark.parametrize("kind", [ExponentialSchedule, InverseTimeSchedule])
def test_parameters_out_of_range(kind, options):
    with pytest.raises(ValueError, match=kind.__name__):
        kind(**{"start": 2.0, "rate": 0.5} | options)


def test_numbers_are_constant_schedules():
    assert as_schedule(2)(10) == 2.0
    schedule = ExponentialSchedule(1.0, 0.5)
    assert as_schedule(schedule) is schedule
    for bad in ("0.1", None, True):
        with pytest.raises(TypeError):
            as_schedule(bad)
    with pytest.raises(TypeError):
        EntropyRegularization("much")


def test_temperature_follows_its_schedule():
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=4)
    cooling = TemperatureSchedule(encoder.coder, InverseTimeSchedule(1.0, 1.0))
    for step in range(4):
        cooling.set_progress(step)
        assert float(encoder.coder.temperature) == pytest.approx(1 / (1 + step))
    encoding = encoder.encode()
    assert cooling(encoding) is encoding
    assert not list(cooling.parameters())
    assert not list(cooling.buffers())
    assert cooling.training_bytes() == 0


def test_a_coder_without_temperature():
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=4, coder=VQCoder())
    with pytest.raises(ValueError, match="VQCoder has no temperature"):
        TemperatureSchedule(encoder.coder, ConstantSchedule(1.0))
