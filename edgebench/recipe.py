"""A training recipe: what ``train.*`` in a sweep may set; the defaults are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Border = Literal["zeros", "reflect"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a candidate is trained.

    The reference names epochs, optimiser, rate, decay, schedule and "flip + padded random crop";
    it does not name the batch size and the kind of padding, which are this project's choice.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images a step.
        optimizer: ``adamw``, or ``sgd`` (Nesterov momentum 0.9).
        learning_rate: The highest rate of the schedule.
        weight_decay: Decoupled for ``adamw``; on weights only where ``decay_weights_only``.
        decay_weights_only: Leave biases and norm parameters undecayed.
        schedule: ``cosine`` from the highest rate to zero, ``one_cycle`` (linear up for the first
            fifth, linear down to zero), or ``constant``; changed every step.
        label_smoothing: Share of the target spread over all classes.
        augmentation: ``auto`` takes what suits the data set (``flip+crop`` for photographs).
        crop_padding: Pixels around an image that a random crop may shift by.
        crop_border: What these pixels show: ``zeros``, or the image mirrored (``reflect``), which
            spares a small network from learning borders that no real image has.
        precision: ``auto`` is bfloat16 autocast wherever the hardware computes in it.
    """

    epochs: Annotated[int, Ge(1)] = 15
    batch_size: Annotated[int, Ge(2)] = 32
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Gt(0.0)] = 1e-3
    weight_decay: Annotated[float, Ge(0.0)] = 1e-4
    decay_weights_only: bool = False
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    label_smoothing: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    augmentation: Literal["auto", "none", "crop", "flip+crop"] = "auto"
    crop_padding: Annotated[int, Ge(1), Le(16)] = 4
    crop_border: Border = "reflect"
    precision: Precision = "auto"
