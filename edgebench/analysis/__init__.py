"""What a trained network looks like: its first layer, and which classes it confuses."""

from edgebench.analysis.confusion import confusion
from edgebench.analysis.filters import first_filters

__all__ = ["confusion", "first_filters"]
