"""A training recipe: what ``train.*`` in a sweep may set; the defaults are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from edgebench.registry import Choice
from edgebench.training.augmentations import AUGMENTATIONS, Augmentation
from edgebench.training.losses import LOSSES, Loss
from edgebench.training.optimizers import OPTIMIZERS, Optimizer
from edgebench.training.schedules import SCHEDULES, Schedule

DecayedParameters = Literal["all", "weights", "unnormalized"]
Precision = Literal["auto", "float32", "bfloat16"]

_ADAMW = OPTIMIZERS.choice("adamw")
_COSINE = SCHEDULES.choice("cosine")
_CROSS_ENTROPY = LOSSES.choice("cross_entropy")
_AUTO = AUGMENTATIONS.choice("auto")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a candidate is trained.

    The reference names epochs, optimizer, rate, decay, schedule and "flip + padded random crop";
    the batch size, the kind of padding and what is decayed it does not name: they are chosen here.
    ``Recipe(**bind(Recipe, {"optimizer": "sgd", "momentum": 0.8}))`` reads flat options, those of
    the chosen members among them.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images a step.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: The highest rate of the schedule.
        decayed_parameters: What the optimizer's ``weight_decay`` is for: ``all`` parameters,
            ``weights`` (no biases, no norms), or ``unnormalized``: the weights whose output is not
            normalized next. The scale of the others is divided out again, so decay only quickens
            and roughens their training (van Laarhoven, L2 Regularization versus Batch and Weight
            Normalization, 2017).
        schedule: One of `SCHEDULES`; the rate changes every step.
        loss: One of `LOSSES`.
        augmentation: One of `AUGMENTATIONS`; ``auto`` takes what suits the data set.
        precision: ``auto`` is bfloat16 autocast wherever the hardware computes in it.
    """

    epochs: Annotated[int, Ge(1)] = 15
    batch_size: Annotated[int, Ge(2)] = 32
    optimizer: Annotated[Choice[Optimizer], OPTIMIZERS] = _ADAMW
    learning_rate: Annotated[float, Gt(0.0)] = 1e-3
    decayed_parameters: DecayedParameters = "unnormalized"
    schedule: Annotated[Choice[Schedule], SCHEDULES] = _COSINE
    loss: Annotated[Choice[Loss], LOSSES] = _CROSS_ENTROPY
    augmentation: Annotated[Choice[Augmentation], AUGMENTATIONS] = _AUTO
    precision: Precision = "auto"
