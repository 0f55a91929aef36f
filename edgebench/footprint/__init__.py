"""What a model costs on a device: operations, flash and RAM under a convention, and which boards.

`measure` turns a profile into a `Footprint`; `CONVENTIONS` are the ways of counting; `TARGETS` the
boards. A footprint follows from the graph alone, so it is known before a weight is trained.
"""

from edgebench.footprint.conventions import CONVENTIONS, Convention
from edgebench.footprint.drawing import draw
from edgebench.footprint.explain import costliest, living_at_peak, peak_layer, timeline
from edgebench.footprint.fit import Fit
from edgebench.footprint.latency import Latency, NoLatency, estimate, latency_refusal, work_units
from edgebench.footprint.measure import Footprint, Layer, measure, require_known
from edgebench.footprint.rows import (
    STYLES,
    FirmwarePlan,
    Group,
    Layout,
    Network,
    Stage,
    Window,
    firmware_plan,
    firmware_rom,
    firmware_rom_upper,
)
from edgebench.footprint.targets import (
    TARGETS,
    Target,
    load_target,
    smallest_fitting,
)

__all__ = [
    "CONVENTIONS",
    "STYLES",
    "TARGETS",
    "Convention",
    "FirmwarePlan",
    "Fit",
    "Footprint",
    "Group",
    "Latency",
    "Layer",
    "Layout",
    "Network",
    "NoLatency",
    "Stage",
    "Target",
    "Window",
    "costliest",
    "draw",
    "estimate",
    "firmware_plan",
    "firmware_rom",
    "firmware_rom_upper",
    "latency_refusal",
    "living_at_peak",
    "load_target",
    "measure",
    "peak_layer",
    "require_known",
    "smallest_fitting",
    "timeline",
    "work_units",
]
