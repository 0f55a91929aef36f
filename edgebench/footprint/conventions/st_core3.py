"""``st-core3``: the vendor's tools from Core 3.0 on."""

from edgebench.footprint.conventions import CONVENTIONS
from edgebench.footprint.st import CORE_3, convention

CONVENTIONS.add(
    "st-core3",
    convention(
        "st-core3",
        "ST Edge AI Core 3.0 and newer",
        CORE_3,
        counts="as st, but no pool is fused; runtime objects a flat 287 B (float) or "
        "1,290 B (int8)",
        errs="rests on few reports: either way",
    ),
)
