"""Numbers that know what they count, and the one place that writes them for people.

The classes are plain ints and floats to everyone else: JSON and CSV get the exact number, and only
`text` chooses a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edgebench.metrics import metric_of

UNITS = ("decimal", "binary")
FORMATS = ("table", "markdown", "csv", "json", "html")
"""How rows can be written; `edgebench.report` writes them."""


LONGEST = 40
"""Characters of a name in a table; TensorFlow writes whole paths."""


class Bytes(int):
    """A number of bytes: 18322076 is written 18.32 MB (17.47 MiB in binary units)."""

    __slots__ = ()

    def text(self, units: str) -> str:
        """Write the number with the largest unit that keeps it above one."""
        if units == "binary":
            return _scaled(int(self), 1024, ("B", "KiB", "MiB", "GiB"))
        return _scaled(int(self), 1000, ("B", "kB", "MB", "GB"))


class Count(int):
    """A number of operations or elements: 43954784 is written 43.95 M."""

    __slots__ = ()

    def text(self, units: str) -> str:  # noqa: ARG002 - counts are decimal in either system
        """Write the number in thousands or millions."""
        return _scaled(int(self), 1000, ("", "k", "M", "G"))


class Share(float):
    """A part of one: 0.882 is written 88.20 %."""

    __slots__ = ()

    def text(self, units: str) -> str:  # noqa: ARG002 - it has no unit to choose
        """Write the share in per cent."""
        return f"{100 * float(self):.2f} %"


class Seconds(float):
    """A duration: 61.23 is written 61.2 s."""

    __slots__ = ()

    def text(self, units: str) -> str:  # noqa: ARG002 - it has no unit to choose
        """Write the duration in seconds."""
        return f"{float(self):.1f} s"


class Milliseconds(float):
    """A latency: 4.317 is written 4.317 ms, with four digits."""

    __slots__ = ()

    def text(self, units: str) -> str:  # noqa: ARG002 - it has no unit to choose
        """Write the duration in milliseconds."""
        return f"{float(self):.4g} ms"


def text(value: object, units: str = "decimal") -> str:
    """Write ``value`` for a reader; ``units`` chooses kB and MB or KiB and MiB."""
    if isinstance(value, (Bytes, Count, Share, Seconds, Milliseconds)):
        return value.text(units)
    if value is None:
        return "–"  # noqa: RUF001 - an en dash marks an empty cell
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_KINDS: dict[str, Callable[[float], object]] = {
    "bytes": Bytes,
    "count": Count,
    "share": Share,
    "seconds": Seconds,
    "milliseconds": Milliseconds,
}


def quantity(metric: str, value: float | None) -> object:
    """Return the metric's value as what the table of metrics says it counts."""
    if value is None or not math.isfinite(value):
        return value
    kind = _KINDS.get(metric_of(metric).unit)
    return value if kind is None else kind(value)


def interval(low: float | None, high: float | None) -> str | None:
    """Write an interval of shares as ``81.20 to 83.10 %``; None where an end is not known."""
    if low is None or high is None or math.isnan(low + high):
        return None
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def label(metric: str) -> str:
    """Return the short name of a metric: ``footprint/rom_bytes_int8`` is ``ROM int8``."""
    return metric_of(metric).title


def _scaled(value: int, base: int, names: tuple[str, ...]) -> str:
    if abs(value) < base:
        return f"{value} {names[0]}".rstrip()
    power = 1
    while power + 1 < len(names) and round(abs(value) / base**power, 2) >= base:
        power += 1
    return f"{value / base**power:.2f} {names[power]}"


def shortened(name: str, width: int = LONGEST) -> str:
    """Return ``name`` with its middle left out where it is longer than ``width``."""
    if len(name) <= width:
        return name
    first = (width - 1) // 2
    return f"{name[:first]}…{name[len(name) - (width - 1 - first) :]}"
