"""Why a footprint is what it is: the peak, what lives then, and what costs most of each figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgebench.footprint.measure import Footprint, Layer
from edgebench.units import LONGEST, shortened

BAR = 40  # characters of the longest bar
MOST_BARS = 60  # operators a timeline shows at most; the quiet ones are left out first


@dataclass(frozen=True)
class Living:
    """A piece of memory that is needed at the peak: bytes, offset and the steps it lives for."""

    name: str
    size: int
    offset: int
    born: str
    dies: str


def peak_layer(footprint: Footprint) -> Layer | None:
    """Return the kernel at which the arena is fullest; None where there is no plan."""
    if footprint.plan is None or not footprint.layers:
        return None
    return footprint.layers[_clamped(footprint, footprint.plan.peak_step())]


def living_at_peak(footprint: Footprint) -> list[Living]:
    """Return what is in memory at the peak, the lowest offset first."""
    plan = footprint.plan
    if plan is None:
        return []
    return [
        Living(
            one.name,
            one.size,
            plan.offsets[one.name],
            "input" if one.first < 0 else footprint.layers[one.first].name,
            "output" if one.last >= len(footprint.layers) else footprint.layers[one.last].name,
        )
        for one in plan.live(plan.peak_step())
    ]


def costliest(footprint: Footprint, count: int = 3) -> dict[str, list[tuple[Layer, int]]]:
    """Return for MACC, ROM and RAM the ``count`` kernels that cost most, with their cost."""
    keys: dict[str, Callable[[Layer], int]] = {
        "MACC": lambda layer: layer.macc,
        "ROM": lambda layer: layer.weights_bytes,
        "RAM": lambda layer: layer.live_bytes,
    }
    return {
        name: [(one, key(one)) for one in sorted(footprint.layers, key=key, reverse=True)[:count]]
        for name, key in keys.items()
    }


def timeline(footprint: Footprint) -> Iterator[str]:
    """Yield a text bar an operator: ``#`` what lives, ``.`` the rest of the arena below its top."""
    plan = footprint.plan
    if plan is None:
        return
    shown = list(range(len(footprint.layers)))
    if len(shown) > MOST_BARS:
        busiest = sorted(shown, key=lambda step: -footprint.layers[step].live_bytes)
        shown = sorted(busiest[:MOST_BARS])
        yield f"the {MOST_BARS} busiest of {len(footprint.layers)} operators:"
    width = min(max((len(footprint.layers[step].name) for step in shown), default=0), LONGEST)
    peak = plan.peak_step()
    for step in shown:
        layer = footprint.layers[step]
        bar = "#" * _scaled(layer.live_bytes, plan.peak)
        bar = bar.ljust(_scaled(plan.top(step), plan.peak), ".")
        mark = "  <- peak" if step == _clamped(footprint, peak) else ""
        yield f"{shortened(layer.name):<{width}} {layer.live_bytes:>11,} B |{bar:<{BAR}}|{mark}"


def _scaled(size: int, peak: int) -> int:
    return -(-BAR * size // peak) if peak else 0


def _clamped(footprint: Footprint, step: int) -> int:
    return min(max(step, 0), len(footprint.layers) - 1)
