"""The runs of `edgebench finalize`: a trial of the front retrained with another seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebench.record import Facts, Row
from edgebench.space import TrialConfig
from edgebench.tracking import runs
from edgebench.tracking.reading import details_of, row_of
from edgebench.tracking.trials import TrialLog

if TYPE_CHECKING:
    from edgebench.trial import Gate


class FinalsLog(TrialLog):
    """Writes final runs: their kind is ``final``, they are no trials and no rows of the study."""

    def begin_finals(self) -> None:
        """Find the sweep's run, under which finals stand, and close those that were cut off."""
        parents = self._runs("tags.kind = 'sweep'")
        self.parent_id = parents[0].info.run_id if parents else ""
        for run_id in self.unfinished("final"):
            if self.close_ended(run_id) is None:
                self.interrupt(run_id)

    def begin_final(
        self, trial: int, config: TrialConfig, facts: Facts, name: str, gate: Gate
    ) -> str:
        """Create the run that retrains a trial with the seed of ``config``, and return its id."""
        tags = {runs.KIND: "final", runs.TRIAL: str(trial)}
        return self._begin(name, config, facts, gate, tags)

    def finals(self) -> dict[str, Row]:
        """Return the last final run of each configuration that came to an end, by its key."""
        found = ((run, row_of(run)) for run in self._runs("tags.kind = 'final'"))
        return {run.data.tags[runs.KEY]: row for run, row in found if row.state.ended}

    def recorded(self, run_id: str) -> tuple[TrialConfig, str]:
        """Return what a trial was, and the digest of the data set that it was trained on."""
        details = details_of(self.client, self.client.get_run(run_id))
        return TrialConfig(**details["config"]), str(details["facts"]["dataset_digest"])
