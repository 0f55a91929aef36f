"""The honest end of a study: its front retrained with new seeds, and the test split opened once.

A search picks the luckiest of many trainings, so its accuracies flatter. Here each member of the
front is trained again with seeds that the search never used, on the same split, and the test
images are read after all of that, for all members together. A sweep has examined each member too,
when it ended: that reading is of one training, the one the search picked. The opening that is
recorded here is the one to report; whoever looks and then changes the search asks for another.
"""

from __future__ import annotations

from edgebench.report import Finals, Member
from edgebench.search.finals.opening import finalize

__all__ = ["Finals", "Member", "finalize"]
