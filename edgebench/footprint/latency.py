"""How long an int8 network takes on a Cortex-M: five counts, and one scale a core and tool.

    units = MACs + a depthwise MACs + b dense MACs + c convolution outputs + d moved elements
    cycles = scale(core, tool, version) x units;  ms = cycles / (1000 x MHz)

The shape (a, b, c, d) is the same for all cores and tools; shape and scales stand in
``latency.json`` with the rows that they rest on and their error, measured on networks that were
left out of the fit. `benchmarks/latency.py` fits and prints them. Outside what was measured there
is no estimate, and the reason is named.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.profiling import Operator, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebench.footprint.targets import Target

LEAST_MACS = 250_000  # smaller networks were measured at 2.4 to 2.9 times what the scales give
MOST_DENSE_SHARE = 0.5  # of the MACs; the one dense network was missed by 25 % in the median
GATED_ERROR = 0.3  # networks of sigmoid and swish gates read 20 % low
HOURS_A_DAY = 24

TOOLS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "st-7.3": (("Cube.AI", "7.3"),),
    "st-8.1": (("Cube.AI", "8.1"),),
    "st": (("Cube.AI", "10.0"), ("Cube.AI", "10.2"), ("Cube.AI", "9.0")),
    "st-core3": (("ST Edge AI Core", "3.0"), ("ST Edge AI Core", "4.0")),
}
"""The tools and versions that a convention describes, the preferred one first."""

_MOVES = frozenset({"eltwise", "concat", "pad", "resize", "convert"})
_GATES = frozenset({"Sigmoid", "Swish", "HardSwish", "HardSigmoid", "Mish", "Tanh", "Gelu"})


@dataclass(frozen=True)
class Counts:
    """What the time of a network is made of.

    Attributes:
        macs: All multiply-accumulates.
        depthwise: Those of depthwise convolutions.
        dense: Those of dense layers and matrix products.
        outputs: Output elements of the other convolutions.
        moved: Elements moved without a multiply-accumulate: results of additions, concatenations,
            pads, resizes and conversions; the larger of input and result of a pool or reduction;
            four times the result of a sigmoid. Clamps and reshapes count nothing.
    """

    macs: float
    depthwise: float
    dense: float
    outputs: float
    moved: float

    def units(self, shape: Mapping[str, float]) -> float:
        """Return the units of work under a fitted shape."""
        return (
            self.macs
            + shape["depthwise"] * self.depthwise
            + shape["dense"] * self.dense
            + shape["outputs"] * self.outputs
            + shape["moved"] * self.moved
        )


def counts(profile: Profile) -> Counts:
    """Return the five counts of ``profile``."""
    depthwise = sum(one.macs for one in profile.operators if one.kind == "depthwise")
    outputs = sum(
        profile.tensors[one.outputs[0]].elements
        for one in profile.operators
        if one.kind in ("conv", "deconv")
    )
    moved = sum(_moved(profile, one) for one in profile.operators)
    return Counts(profile.macs, depthwise, _dense_macs(profile), outputs, moved)


def _dense_macs(profile: Profile) -> int:
    return sum(one.macs for one in profile.operators if one.kind in ("dense", "matmul"))


def _moved(profile: Profile, operator: Operator) -> int:
    result = profile.tensors[operator.outputs[0]].elements
    if operator.kind in _MOVES:
        return result
    if operator.kind in ("pool", "reduce"):
        return max(result, profile.tensors[operator.inputs[0]].elements)
    return 4 * result if operator.op in _GATES else 0


@dataclass(frozen=True)
class Latency:
    """An estimated time in milliseconds, and the interval that nine of ten measured networks kept.

    ``provenance`` names tool, core, clock and the networks behind it.
    """

    ms: float
    low_ms: float
    high_ms: float
    provenance: str

    def energy_uj(self, power_mw: float) -> float:
        """Return the energy of one inference at a mean power that the user states, in uJ."""
        return self.ms * power_mw

    def battery_days(
        self, *, power_mw: float, sleep_mw: float, inferences_a_second: float, battery_mwh: float
    ) -> float:
        """Return how many days a battery lasts at a rate of inferences, asleep between them."""
        share = min(1.0, inferences_a_second * self.ms / 1000)
        mean_mw = share * power_mw + (1 - share) * sleep_mw
        return battery_mwh / mean_mw / HOURS_A_DAY


@dataclass(frozen=True)
class NoLatency:
    """Why there is no honest estimate."""

    reason: str


@dataclass(frozen=True)
class Scale:
    """The cycles a unit of one core, tool and version, and what is known of its error.

    ``error`` is the 90th percentile of |predicted / measured - 1| over networks left out of the
    fit, at least that of all rows together.
    """

    core: str
    tool: str
    version: str
    cycles: float
    rows: int
    networks: int
    error: float


@functools.cache
def _fitted() -> tuple[Mapping[str, float], tuple[Scale, ...]]:
    text = Path(__file__).with_name("latency.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return data["shape"], tuple(Scale(**row) for row in data["scales"])


def scales() -> tuple[Scale, ...]:
    """Return what was fitted, a row a core, tool and version."""
    return _fitted()[1]


def work_units(profile: Profile) -> float:
    """Return the units of work: within one core and tool they rank networks by time."""
    return counts(profile).units(_fitted()[0])


def core_of(target: Target) -> str:
    """Return the core that runs the network: the first Cortex-M that the board names, or all text.

    Letters behind its number name an FPU, which integers do not use.
    """
    found = re.search(r"Cortex-M(?:0\+|\d+)", target.core)
    return found.group() if found else target.core


def estimate(profile: Profile, target: Target, convention: str) -> Latency | NoLatency:
    """Return the time of one inference on ``target``, or why there is no honest estimate."""
    integers = any(one.macs and profile.is_quantized(one) for one in profile.operators)
    refusal = latency_refusal(target, "int8" if integers else "float32", convention)
    refusal = refusal or _out_of_scope(profile)
    scale = None if refusal else _scale_of(core_of(target), convention)
    if refusal is not None or scale is None:
        return NoLatency(refusal or "")
    ms = scale.cycles * work_units(profile) / (1000 * target.clock_mhz)
    gated = any(one.op in _GATES for one in profile.operators)
    error = max(scale.error, GATED_ERROR) if gated else scale.error
    where = f"{scale.tool} {scale.version} on a {scale.core} at {target.clock_mhz:g} MHz"
    known = f"{scale.networks} networks measured, 9 of 10 within {100 * error:.0f} % when left out"
    parts = [f"estimated ({where}; {known})"]
    if gated:
        parts.append("networks with gates read 20 % low")
    if _largest_dense(profile) > 1_000_000:
        parts.append("a dense layer over 1 MB runs from slow memory, which is not counted")
    return Latency(ms, ms / (1 + error), ms / (1 - error), "; ".join(parts))


def latency_refusal(target: Target, dtype: str, convention: str = "st") -> str | None:
    """Return why no network of ``dtype`` has an estimate on ``target``, or None where some have."""
    cores = ", ".join(sorted({one.core for one in scales()}))
    if convention not in TOOLS:
        return (
            f"the convention '{convention}' describes no tool whose speed was measured on whole "
            "networks"
        )
    if dtype != "int8":
        return "too few float networks were measured; the int8 model has an estimate"
    if target.clock_mhz <= 0:
        return f"the clock of {target.name} is not known"
    if _scale_of(core_of(target), convention) is None:
        return (
            f"no network has been measured on {target.core or target.name} with a tool that "
            f"'{convention}' describes (measured cores: {cores})"
        )
    return None


def _out_of_scope(profile: Profile) -> str | None:
    """Return why nothing can be said of the time of this network, or None."""
    integers = sum(one.macs for one in profile.operators if profile.is_quantized(one))
    dense = _dense_macs(profile)
    reasons = {
        f"only {100 * integers / max(profile.macs, 1):.0f} % of the multiply-accumulates are "
        "in integers, and float ones were hardly measured": integers < profile.macs,
        f"no rule counts {', '.join(profile.unknown)}": bool(profile.unknown),
        f"networks under {LEAST_MACS:,} multiply-accumulates were measured at 2.4 to 2.9 times "
        "what the model gives": profile.macs < LEAST_MACS,
        "more than half of the multiply-accumulates are dense, and the one such network was missed "
        "by 25 %": dense > MOST_DENSE_SHARE * profile.macs,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _scale_of(core: str, convention: str) -> Scale | None:
    by_tool = {(one.core, one.tool, one.version): one for one in scales()}
    found = (by_tool.get((core, *tool)) for tool in TOOLS[convention])
    return next((one for one in found if one is not None), None)


def _largest_dense(profile: Profile) -> int:
    weights = [one.constant("weight") for one in profile.operators if one.kind == "dense"]
    return max((one.bytes for one in weights if one is not None), default=0)
