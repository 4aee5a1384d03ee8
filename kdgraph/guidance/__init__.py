"""Guidance: distillation, regularisation and schedules, gone after training."""

from kdgraph.guidance.auto_encoding import AutoEncoding
from kdgraph.guidance.base import Guidance
from kdgraph.guidance.class_targets import ClassTargets
from kdgraph.guidance.entropy import EntropyRegularization
from kdgraph.guidance.online import OnlineDistillation
from kdgraph.guidance.pretrained import PretrainedDistillation
from kdgraph.guidance.schedules import (
    ConstantSchedule,
    ExponentialSchedule,
    InverseTimeSchedule,
    Schedule,
)
from kdgraph.guidance.temperature import TemperatureSchedule

__all__ = [
    "AutoEncoding",
    "ClassTargets",
    "ConstantSchedule",
    "EntropyRegularization",
    "ExponentialSchedule",
    "Guidance",
    "InverseTimeSchedule",
    "OnlineDistillation",
    "PretrainedDistillation",
    "Schedule",
    "TemperatureSchedule",
]
