"""Training: the recipe of a candidate, the loop that follows it, and where it runs."""

from edgebench.training.environment import environment
from edgebench.training.loop import Epoch, TrainingFailed, choose_device, train
from edgebench.training.recipe import Recipe

__all__ = ["Epoch", "Recipe", "TrainingFailed", "choose_device", "environment", "train"]
