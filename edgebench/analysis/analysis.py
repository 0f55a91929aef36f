"""What an analysis is: an observer of a training that leaves something to look at."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

from edgebench.registry import Registry
from edgebench.training import Observer


class Analysis(Observer, abc.ABC):
    """An observer that leaves an artifact.

    ``series`` names the keys of the artifact that hold one number a step, which a figure may draw
    as ``ANALYSIS.SERIES``; a key ``step`` says which steps they are, else they are all.
    """

    series: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def artifact(self) -> dict[str, Any]:
        """Return what was found, as JSON data; asked for after the training's end."""


ANALYSES: Registry[Callable[..., Analysis]] = Registry("analysis", package="edgebench.analysis")
"""``analysis(*, option=default, ...)``: a new one for each training."""
