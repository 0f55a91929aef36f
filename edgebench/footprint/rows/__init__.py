"""The plan of EdgeBench's own firmware: stages that run row by row, rings of rows, one arena.

`firmware_plan` turns a profile into the plan that `edgebench.firmware` writes as C, and that the
convention ``edgebench`` counts: what is predicted is what is compiled.
"""

from edgebench.footprint.rows.layouts import Layout
from edgebench.footprint.rows.plan import STYLES, FirmwarePlan, Group, firmware_plan
from edgebench.footprint.rows.rom import firmware_rom, firmware_rom_upper
from edgebench.footprint.rows.stages import Network, Stage, Window

__all__ = [
    "STYLES",
    "FirmwarePlan",
    "Group",
    "Layout",
    "Network",
    "Stage",
    "Window",
    "firmware_plan",
    "firmware_rom",
    "firmware_rom_upper",
]
