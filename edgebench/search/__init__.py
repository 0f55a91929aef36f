"""The search: Optuna proposes, workers run trials, the record is written; and its honest end."""

from edgebench.search.finals import Finals, Member, finalize
from edgebench.search.finals.members import TEST, VALIDATION
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
