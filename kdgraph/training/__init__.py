"""Training: configurations, the loop, checkpoints, results."""

from kdgraph.training.auto import Pick
from kdgraph.training.classifier import NodeClassifier, message_graph
from kdgraph.training.config import TrainConfig
from kdgraph.training.label_head import HeadResult, spread_head
from kdgraph.training.loop import Trainer
from kdgraph.training.model_file import load_classifier
from kdgraph.training.plan import PlanRow, plan
from kdgraph.training.recipes import recipe_name, resolve_config
from kdgraph.training.result import MethodResult
from kdgraph.training.runner import Runner

__all__ = [
    "HeadResult",
    "MethodResult",
    "NodeClassifier",
    "Pick",
    "PlanRow",
    "Runner",
    "TrainConfig",
    "Trainer",
    "load_classifier",
    "message_graph",
    "plan",
    "recipe_name",
    "resolve_config",
    "spread_head",
]
