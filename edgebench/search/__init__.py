"""The search: Optuna proposes, a pool runs trials, the record is written; and its honest end."""

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
