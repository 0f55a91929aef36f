"""The command line with a rule that stops nothing and takes its time: a program for a process.

With ``early_stop: paced`` an epoch takes at least a moment on any machine, and no core is needed
for it: what is to fail in the middle of a trial finds one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from edgebench.cli import main
from edgebench.record import Row
from edgebench.search import EARLY_STOPPING
from edgebench.space import Sweep, TrialConfig
from edgebench.trial import Gate

SECONDS = 0.15


class _Paced:
    def judge(
        self, config: TrialConfig, gate: Gate, curve: Sequence[Mapping[str, float]]
    ) -> str | None:
        """Wait, and let the trial go on."""
        del config, gate, curve
        time.sleep(SECONDS)
        return None


@EARLY_STOPPING.register
def paced(sweep: Sweep, trained: Sequence[Row]) -> _Paced:
    """Let an epoch take its time."""
    del sweep, trained
    return _Paced()


if __name__ == "__main__":
    main()
