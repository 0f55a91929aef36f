"""What may be searched: the sweep file, its axes, the budget, and the candidates they span."""

from edgebench.space.candidates import INT8, Axis, Budget, Sweep, TrialConfig
from edgebench.space.file import build, load

__all__ = ["INT8", "Axis", "Budget", "Sweep", "TrialConfig", "build", "load"]
