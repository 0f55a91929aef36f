"""Training: the recipe of a candidate, the loop that follows it, and where it runs.

What a recipe chooses from (optimizers, schedules, losses, augmentations) are registries: to add a
member, add one function to its file; its keyword-only parameters become axes of ``train``.
"""

from edgebench.training.augmentations import AUGMENTATIONS
from edgebench.training.device import choose_device
from edgebench.training.environment import environment
from edgebench.training.evaluation import predictions
from edgebench.training.failure import TrainingFailed
from edgebench.training.loop import Training, train
from edgebench.training.losses import LOSSES
from edgebench.training.observer import Epoch, Observer, Pause, Standing, Step, Stop
from edgebench.training.optimizers import OPTIMIZERS
from edgebench.training.recipe import Recipe
from edgebench.training.schedules import SCHEDULES

__all__ = [
    "AUGMENTATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Epoch",
    "Observer",
    "Pause",
    "Recipe",
    "Standing",
    "Step",
    "Stop",
    "Training",
    "TrainingFailed",
    "choose_device",
    "environment",
    "predictions",
    "train",
]
