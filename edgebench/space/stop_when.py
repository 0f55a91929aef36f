"""``stop_when`` of a sweep file: when a search has found enough."""

from __future__ import annotations

import re
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from edgebench.errors import shown
from edgebench.registry import Option
from edgebench.space.axes import unknown_keys
from edgebench.space.sweep import Enough

EXAMPLE = "{hypervolume_gain: 0.5 %, trials: 10}"
_SHARE = Option("hypervolume_gain", Annotated[float, Gt(0.0), Lt(1.0)], None)
_TRIALS = Option("trials", Annotated[int, Ge(1)], None)


def read_stop_when(content: Any, mistakes: list[str]) -> Enough | None:
    """Return what a file says, or None where it says nothing; mistakes are added to the list."""
    if content is None:
        return None
    if not isinstance(content, dict) or not {"hypervolume_gain", "trials"} <= content.keys():
        mistakes.append(f"stop_when: {shown(content)} should be as in {EXAMPLE}")
        return None
    strange = unknown_keys(content, ("hypervolume_gain", "trials"), "stop_when")
    gain, trials = _share(content["hypervolume_gain"]), content["trials"]
    found = [
        f"stop_when.{option.name}: {mistake}"
        for option, value in ((_SHARE, gain), (_TRIALS, trials))
        if (mistake := option.mistake(value))
    ]
    mistakes += [*strange, *found]
    return None if strange or found else Enough(float(gain), trials)


def _share(value: Any) -> Any:
    """Return ``0.5 %`` as 0.005, and what is no percentage as it is."""
    written = re.fullmatch(r"([0-9.]+) *%", value) if isinstance(value, str) else None
    try:
        return float(written[1]) / 100 if written else value
    except ValueError:
        return value
