"""A training recipe: what ``train.*`` in a sweep may set; the defaults are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from edgebench.registry import Choice
from edgebench.training.augmentations import AUGMENTATIONS, Augmentation
from edgebench.training.losses import LOSSES, Loss
from edgebench.training.optimizers import OPTIMIZERS, Optimizer
from edgebench.training.schedules import SCHEDULES, Schedule

DecayedParameters = Literal["all", "weights", "unnormalized"]
Precision = Literal["auto", "float32", "bfloat16"]
Sampling = Literal["shuffled", "balanced"]

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
        class_weights: ``balanced`` weighs each image's loss by how rare its class is in training.
        sampling: ``shuffled`` shows each image once an epoch; ``balanced`` draws as many images, of
            each class the same number on average.
        augmentation: One of `AUGMENTATIONS`; ``auto`` takes what suits the data set.
        warmup: The share of training in which the rate also rises linearly from zero.
        l1: Adds ``l1`` sum abs(w) over the decayed parameters to the loss that is lowered, though
            not to the one that is shown.
        l2: Adds ``l2`` sum w^2 likewise: twice this is what PyTorch's SGD calls weight decay.
        mixup: Blends the images of a batch, by a share from Beta(mixup, mixup) (Zhang et al.,
            2018); 0 is without.
        norm_statistics: What batch norms use in evaluation: ``running`` averages, or the
            ``precise`` statistics of the whole training split, taken after each epoch.
        ema_decay: Judges and keeps the moving average of the weights, of which each step keeps this
            share; 0 is without.
        kept_epoch: Keeps the weights of the ``best`` epoch by validation accuracy, of the best by
            ``balanced`` accuracy, or of the ``last``.
        precision: ``auto`` is bfloat16 autocast wherever the hardware computes in it.
    """

    epochs: Annotated[int, Ge(1)] = 15
    batch_size: Annotated[int, Ge(1)] = 32
    optimizer: Annotated[Choice[Optimizer], OPTIMIZERS] = _ADAMW
    learning_rate: Annotated[float, Gt(0.0)] = 1e-3
    decayed_parameters: DecayedParameters = "unnormalized"
    schedule: Annotated[Choice[Schedule], SCHEDULES] = _COSINE
    loss: Annotated[Choice[Loss], LOSSES] = _CROSS_ENTROPY
    class_weights: Literal["none", "balanced"] = "none"
    sampling: Sampling = "shuffled"
    augmentation: Annotated[Choice[Augmentation], AUGMENTATIONS] = _AUTO
    warmup: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    l1: Annotated[float, Ge(0.0)] = 0.0
    l2: Annotated[float, Ge(0.0)] = 0.0
    mixup: Annotated[float, Ge(0.0)] = 0.0
    norm_statistics: Literal["running", "precise"] = "running"
    ema_decay: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    kept_epoch: Literal["best", "balanced", "last"] = "best"
    precision: Precision = "auto"
