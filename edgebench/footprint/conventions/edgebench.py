"""``edgebench``: the C that EdgeBench generates; its plan is what the generator writes."""

from edgebench.footprint.conventions import CONVENTIONS, Convention, Estimate, Memory
from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.rows import (
    FirmwarePlan,
    firmware_plan,
    firmware_rom,
    firmware_rom_upper,
)
from edgebench.footprint.st import COMPLEXITY
from edgebench.profiling import Profile


class _Planned(Schedule):
    """A schedule that keeps the plan it was made from."""

    firmware: FirmwarePlan


def _lower(profile: Profile) -> Schedule:
    plan = firmware_plan(profile, "streaming")
    network = plan.network
    kernels = tuple(Kernel(stage.operators) for stage in network.stages)
    found = _Planned(network.profile, kernels, dict(network.memory))
    object.__setattr__(found, "firmware", plan)
    return found


def _plan(schedule: Schedule) -> FirmwarePlan:
    if isinstance(schedule, _Planned):
        return schedule.firmware
    return firmware_plan(schedule.profile, "streaming")


def _memory(schedule: Schedule) -> Memory:
    arena = _plan(schedule).arena
    return Memory(arena.peak, arena, arena.peak)


def _code(schedule: Schedule) -> Estimate:
    plan, weights = _plan(schedule), schedule.profile.weights_bytes
    return Estimate(firmware_rom(plan) - weights, firmware_rom_upper(plan) - weights)


CONVENTIONS.add(
    "edgebench",
    Convention(
        "edgebench",
        "EdgeBench's firmware, streaming plan",
        "the arena of the generated C, input and output in it, rows of chained layers in rings; no "
        "stack, which a board's reserve is for; constants as packed and an estimate of the code",
        "exact in RAM for what the generator writes; in ROM by the code, which a compiler decides",
        lower=_lower,
        memory=_memory,
        scratch=lambda plan: {},  # noqa: ARG005 - sums lie where their result will
        code=_code,
        runtime=lambda plan: Estimate(0, 0),  # noqa: ARG005 - nothing runs beside the stages
        complexity=COMPLEXITY,
        in_rows=True,
    ),
)
