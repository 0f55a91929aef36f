"""Where each tensor lies in memory, and for how long: planners over buffers with lifetimes.

A planner takes buffers and returns a `Plan` with an offset each. `overlapping` is the vendor's
kind (an output may grow into the input that it consumes), `greedy_by_size` TFLite Micro's,
`unions` that of generated C with one static buffer a live tensor; `least_peak` proves how little
any schedule could use. Sizes and offsets are bytes; nothing here knows of operators.
"""

from edgebench.footprint.planning.buffers import Buffer, Plan, loads
from edgebench.footprint.planning.least import Step, least_peak
from edgebench.footprint.planning.planners import Overlaps, greedy_by_size, overlapping, unions

__all__ = [
    "Buffer",
    "Overlaps",
    "Plan",
    "Step",
    "greedy_by_size",
    "least_peak",
    "loads",
    "overlapping",
    "unions",
]
