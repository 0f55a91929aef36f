"""Schedules of the learning rate: pure functions of a step and the number of all steps.

A member returns the share of the highest rate, above 0 and at most 1, that step ``step`` of
``steps`` (counted from 0) is taken with. It is asked for every step, never for an epoch, so a
schedule means the same at any batch size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from edgebench.registry import Registry

Schedule = Callable[..., float]
"""``schedule(step, steps, *, option=default, ...)``."""
SCHEDULES: Registry[Schedule] = Registry("schedule")

WARM = 0.2  # of a one-cycle training, the share in which the rate rises


@SCHEDULES.register
def cosine(step: int, steps: int) -> float:
    """Fall to zero by half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


@SCHEDULES.register
def one_cycle(step: int, steps: int) -> float:
    """Rise linearly in the first fifth, fall linearly to zero (Smith and Topin, 2018)."""
    return min(1.0, (step + 1) / max(1, WARM * steps), (steps - step) / ((1 - WARM) * steps))


@SCHEDULES.register
def constant(step: int, steps: int) -> float:  # noqa: ARG001 - the schedules' signature
    """Keep the highest rate."""
    return 1.0


@SCHEDULES.register
def step_decay(
    step: int,
    steps: int,
    *,
    drops: Annotated[int, Ge(1)] = 2,
    drop_factor: Annotated[float, Gt(0.0), Lt(1.0)] = 0.1,
) -> float:
    """Multiply the rate by ``drop_factor`` at ``drops`` moments that part training equally."""
    return drop_factor ** (step * (drops + 1) // steps)


@SCHEDULES.register
def cyclical(
    step: int,
    steps: int,
    *,
    cycles: Annotated[int, Ge(1)] = 2,
    half_cycle: Annotated[int, Ge(0)] = 0,
    lowest_share: Annotated[float, Gt(0.0), Lt(1.0)] = 1e-4,
) -> float:
    """Rise and fall linearly, again and again (Smith, Cyclical Learning Rates, 2017, triangular).

    Between ``lowest_share`` of the highest rate and that rate; a rise takes ``half_cycle`` steps,
    or where that is 0 training is parted into ``cycles`` equal cycles.
    """
    rise = half_cycle or max(1.0, steps / (2 * cycles))
    place = step % (2 * rise) / rise  # 0 at the lowest, 1 at the highest, 2 at the lowest again
    return lowest_share + (1 - lowest_share) * (1 - abs(1 - place))


@SCHEDULES.register
def exponential(
    step: int, steps: int, *, final_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.01
) -> float:
    """Fall exponentially, to ``final_share`` of the highest rate at the end."""
    return float(final_share ** (step / steps))
