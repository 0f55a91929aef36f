"""What a trained network and its training looked like: analyses that observe a training.

``ANALYSES[name](**options)`` makes an observer for one training; afterwards its ``artifact()`` is
JSON data. To add one, add one file that registers it.
"""

from edgebench.analysis.analysis import ANALYSES, Analysis
from edgebench.analysis.filters import first_filters

__all__ = ["ANALYSES", "Analysis", "first_filters"]
