"""What may be searched: the sweep file, its axes, the budget, and the candidates they span."""

from edgebench.metrics import INT8
from edgebench.space.axis import Axis
from edgebench.space.budget import CONVENTION, Budget
from edgebench.space.candidates import TrialConfig
from edgebench.space.figures import COMMON as FIGURE_KEYS
from edgebench.space.file import PARTS, Header, build, load
from edgebench.space.schema import SECTIONS, Place, axis_named, places
from edgebench.space.sweep import Sweep

__all__ = [
    "CONVENTION",
    "FIGURE_KEYS",
    "INT8",
    "PARTS",
    "SECTIONS",
    "Axis",
    "Budget",
    "Header",
    "Place",
    "Sweep",
    "TrialConfig",
    "axis_named",
    "build",
    "load",
    "places",
]
