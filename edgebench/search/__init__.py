"""The search: Optuna proposes, a pool runs trials, the record is written; and its honest end.

The names are imported when they are asked for: a worker enters this room for its tasks alone, and
what the coordinator needs, MLflow and Optuna, would cost it seconds and a third of its memory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgebench.report import TEST, VALIDATION
    from edgebench.search.finals import Finals, Member, finalize
    from edgebench.search.pools import POOLS
    from edgebench.search.progress import Event, Observer
    from edgebench.search.settings import Settings
    from edgebench.search.stopping import EARLY_STOPPING
    from edgebench.search.study import search

__all__ = [
    "EARLY_STOPPING",
    "POOLS",
    "TEST",
    "VALIDATION",
    "Event",
    "Finals",
    "Member",
    "Observer",
    "Settings",
    "finalize",
    "search",
]
_HOMES = {
    "edgebench.report": ("TEST", "VALIDATION"),
    "edgebench.search.finals": ("Finals", "Member", "finalize"),
    "edgebench.search.pools": ("POOLS",),
    "edgebench.search.progress": ("Event", "Observer"),
    "edgebench.search.settings": ("Settings",),
    "edgebench.search.stopping": ("EARLY_STOPPING",),
    "edgebench.search.study": ("search",),
}


def __getattr__(name: str) -> Any:
    """Import a name of the face from its home, once."""
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
