"""A training recipe: what ``train.*`` in a sweep may set; the defaults are the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Decayed = Literal["all", "weights", "felt"]
Border = Literal["zeros", "reflect"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a candidate is trained.

    The reference names epochs, optimiser, rate, decay, schedule and "flip + padded random crop";
    the batch size, the kind of padding and what is decayed it does not name: they are chosen here.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images a step.
        optimizer: ``adamw``, or ``sgd`` (Nesterov momentum 0.9).
        learning_rate: The highest rate of the schedule.
        weight_decay: With ``adamw`` the share of a weight that a step takes off at the schedule's
            top, whatever the learning rate (Loshchilov and Hutter, Decoupled Weight Decay
            Regularization, 2019, algorithm 2), so that the two can be searched apart. PyTorch's
            AdamW multiplies by the rate: its ``weight_decay`` is this one / ``learning_rate``.
            With ``sgd`` it is PyTorch's.
        decayed: ``all`` parameters, ``weights`` (no biases, no norms), or ``felt``: the weights
            that no batch norm follows. The scale of the others is divided out again, so decay only
            quickens and roughens their training (van Laarhoven, L2 Regularization versus Batch
            and Weight Normalization, 2017).
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
    decayed: Decayed = "felt"
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    label_smoothing: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    augmentation: Literal["auto", "none", "crop", "flip+crop"] = "auto"
    crop_padding: Annotated[int, Ge(1), Le(16)] = 4
    crop_border: Border = "reflect"
    precision: Precision = "auto"
