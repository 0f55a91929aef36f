"""Firmware: from the operators of a model to C99 that is compiled, run and measured.

`write_program` turns a profile and its constants into one source file and one header by the plan
of `edgebench.footprint`.
"""

from edgebench.firmware.compiling import Built, build, require_tools
from edgebench.firmware.cpus import CPUS, Cpu
from edgebench.firmware.delivery import check_writable, deliver, files
from edgebench.firmware.measuring import (
    KEYS,
    Measurement,
    measure_program,
    output_step,
    run_on_host,
)
from edgebench.firmware.naming import Named, named, of_model, reference
from edgebench.firmware.operators import GENERATORS, Generator
from edgebench.firmware.writing import Program, fitting_plan, write_program

__all__ = [
    "CPUS",
    "GENERATORS",
    "KEYS",
    "Built",
    "Cpu",
    "Generator",
    "Measurement",
    "Named",
    "Program",
    "build",
    "check_writable",
    "deliver",
    "files",
    "fitting_plan",
    "measure_program",
    "named",
    "of_model",
    "output_step",
    "reference",
    "require_tools",
    "run_on_host",
    "write_program",
]
