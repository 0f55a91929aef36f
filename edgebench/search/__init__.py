"""The search: Optuna proposes, workers run trials, the record is written; and its honest end."""

from edgebench.report import TEST, VALIDATION
from edgebench.search.finals import Finals, Member, finalize
from edgebench.search.study import Event, Observer, Settings, search

__all__ = [
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
