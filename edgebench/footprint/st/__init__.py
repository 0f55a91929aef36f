"""The rules of ST Edge AI Core / X-CUBE-AI, as 78 public reports of it show them.

The vendor documents none of these formulas; they were inferred from reports of versions 7.2 to
Core 4.0 and agree with 1,675 of their 1,694 executed nodes. Where no report shows an operator, the
factor is assumed by analogy, listed in ``ASSUMED``, and every figure that rests on it says so.
"""

from edgebench.footprint.st.complexity import (
    ASSUMED,
    COMPLEXITY,
    MEASURED,
    assumed,
    macc,
)
from edgebench.footprint.st.convention import convention
from edgebench.footprint.st.graph import with_padded_buffers
from edgebench.footprint.st.memory import (
    overlap,
    reads_beyond,
    scratch,
    scratches,
)
from edgebench.footprint.st.resources import code, code_features, runtime_ram
from edgebench.footprint.st.versions import CORE_2, CORE_3, CUBE_7_3, CUBE_8_1, Version

__all__ = [
    "ASSUMED",
    "COMPLEXITY",
    "CORE_2",
    "CORE_3",
    "CUBE_7_3",
    "CUBE_8_1",
    "MEASURED",
    "Version",
    "assumed",
    "code",
    "code_features",
    "convention",
    "macc",
    "overlap",
    "reads_beyond",
    "runtime_ram",
    "scratch",
    "scratches",
    "with_padded_buffers",
]
