"""What is to be retrained: each member of the front as it was recorded, with each new seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.errors import EdgebenchError
from edgebench.record import Facts, Row, StudyRecord
from edgebench.report import Member, front, ranked
from edgebench.search.dispatcher import Dispatcher
from edgebench.search.tasks import Prepare
from edgebench.space import TrialConfig
from edgebench.tracking import FinalsLog


@dataclass(frozen=True)
class Plan:
    """What is to be trained: each member as it was recorded, with each of the new seeds."""

    members: Sequence[tuple[Row, TrialConfig, str]]
    """The row, its configuration, and the digest of the data set that it was trained on."""
    seeds: Sequence[int]

    @classmethod
    def of(cls, record: StudyRecord, log: FinalsLog, seeds: int) -> Plan:
        """Plan the front's members, best in the first objective first."""
        rows = ranked(front(record.rows, record.objectives), record.objectives)
        if not rows:
            raise EdgebenchError(
                f"the study '{record.study}' has no front: none of its {len(record.rows)} trials "
                f"finished within the budget; 'edgebench report {record.study}' says why"
            )
        members = [(row, *log.recorded(row.run_id)) for row in rows]
        last = max(config.seed for _, config, _ in members)  # the sweep's; singles may differ
        return cls(members, range(last + 1, last + 1 + seeds))

    def facts(self, dispatcher: Dispatcher, dataset: str | None, study: str) -> dict[str, Facts]:
        """Return the facts of the data, by `TrialConfig.data_key`; refuse images of another study.

        Raises:
            EdgebenchError: The images are not those that the members were trained on.
        """
        found: dict[str, Facts] = {}
        for _, config, digest in self.members:
            name, key = dataset or config.dataset, config.data_key
            if key not in found:
                found[key] = dispatcher.ask(Prepare(dataclasses.replace(config, dataset=name)))
            if found[key].dataset_digest != digest:
                raise EdgebenchError(
                    f"the data set '{name}' is not the one that '{study}' was trained on: its "
                    f"digest is {found[key].dataset_digest}, the recorded one {digest}; say "
                    "where that one is with --dataset or --data-dir"
                )
        return found

    def configs(self) -> list[tuple[Row, TrialConfig]]:
        """Return every retraining, seed by seed, so that a cut-off one leaves comparable members.

        Only the seed changes; the split's stays, and with it the validation images.
        """
        return [
            (row, config.with_seed(seed)) for seed in self.seeds for row, config, _ in self.members
        ]

    def gather(self, log: FinalsLog) -> list[Member]:
        """Return the members with what the record holds of their final runs."""
        recorded = log.finals()
        found = []
        for row, config, _ in self.members:
            keys = {seed: config.with_seed(seed).key for seed in self.seeds}
            runs = {seed: recorded[key] for seed, key in keys.items() if key in recorded}
            found.append(Member(row, runs, config.int8))
        return found
