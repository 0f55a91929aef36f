"""MLflow is the record: every trial is written here once, by one process.

One experiment a study, one parent run a sweep, one child run a trial that was trained; refused
candidates are rows of a table on the sweep's run. What a trial costs does not depend on how many
are recorded: nothing recorded is read again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.record import Facts, Row, State, StudyRecord
from edgebench.space import Sweep, TrialConfig
from edgebench.tracking import pairing, runs, views
from edgebench.tracking.identity import check_same_data, identity_of, without_classes
from edgebench.tracking.inputs import input_of
from edgebench.tracking.outbox import tracker_is_away
from edgebench.tracking.reading import ALL, described, study_of
from edgebench.tracking.refused import RefusedTable
from edgebench.tracking.trials import TrialLog, provenance_of

if TYPE_CHECKING:
    from edgebench.trial import Gate, Outcome

OMITTED_KEPT = 10
"""Lines of what is no part of the data in the study's description; each trial's record has all."""


class StudyLog(TrialLog):
    """Writes one study: its experiment, the sweep's run, a run for each trial, what was refused."""

    def __init__(self, uri: str, study: str, journal: Path | None = None) -> None:
        super().__init__(uri, study, journal)
        self._refused: RefusedTable | None = None
        self._record: StudyRecord | None = None
        self._new: list[Row] = []
        self._conventions: set[tuple[str, ...]] = set()

    # The sweep ------------------------------------------------------------------------------

    def pair(self, identity: str, storage: str) -> None:
        """Write which study this is, and where Optuna's half of it is."""
        pairing.mark(self.client, self.experiment_id, identity, storage)

    def begin_sweep(self, sweep: Sweep, facts: Facts, convention: str) -> None:
        """Open the sweep's run, the same one each time the study goes on.

        ``convention`` says by which rules its candidates are measured. What an outage of the server
        kept from the record is delivered first.

        Raises:
            EdgebenchError: The study was begun on other data.
        """
        self.deliver(0.0)
        self.check_data(facts, sweep.first().data_key)
        text = _description(sweep, facts, convention)
        self.client.set_experiment_tag(self.experiment_id, runs.STUDY, text)
        parents = self._runs("tags.kind = 'sweep'")
        if parents:
            self.parent_id = parents[0].info.run_id
            self.client.update_run(self.parent_id, status="RUNNING")
        else:
            tags = {runs.KIND: "sweep", **provenance_of(facts)}
            run = self.client.create_run(self.experiment_id, tags=tags, run_name=sweep.name)
            self.parent_id = run.info.run_id
            self.client.log_inputs(self.parent_id, [input_of(facts)])
        self._refused = RefusedTable(self.client, self.parent_id)
        limits = dict(sweep.budget.limits) if sweep.budget else None
        self._shown = StudyRecord(sweep.name, sweep.objectives, (), budget=limits)

    def check_data(self, facts: Facts, data_key: str) -> None:
        """Refuse data that are not the study's; ``data_key`` says how they were split.

        Raises:
            EdgebenchError: They differ in what is said.
        """
        experiment = self.client.get_experiment(self.experiment_id)
        if runs.STUDY in experiment.tags:
            check_same_data(self.study, described(experiment), facts, data_key)

    def log_study(self, figures: Mapping[str, float], step: int) -> None:
        """Write figures of the whole study, as they stand after so many trials."""
        runs.write(self.client, self.parent_id, runs.metrics_of(figures, step))

    def log_repeats(self, run_id: str, accuracies: Mapping[int, float]) -> None:
        """Write accuracies of a trial by the place of their seeds; 0 is its own training's."""
        for place, accuracy in accuracies.items():
            runs.write(self.client, run_id, runs.metrics_of({runs.REPEATS: accuracy}, place))

    def repeats_of(self, run_id: str) -> dict[int, float]:
        """Return what `log_repeats` wrote."""
        found = self.client.get_metric_history(run_id, runs.REPEATS)
        return {metric.step: metric.value for metric in found}

    def end_sweep(self, status: str, metrics: Mapping[str, float]) -> None:
        """Close the sweep's run as ``FINISHED``, ``FAILED`` or ``KILLED``, with its counts."""
        self.flush()
        self.log_metrics(self.parent_id, metrics)
        self.client.set_terminated(self.parent_id, status)

    @property
    def owes(self) -> bool:
        """Tell whether MLflow's server was away and lacks what the journal has."""
        return self._outbox is not None and self._outbox.owes > 0

    def deliver(self, patience: float) -> None:
        """Deliver what the journal has; wait so many seconds for the server, where it is away.

        Raises:
            CheckFailed: It stays away; the journal keeps what it has.
        """
        if self._outbox is not None:
            self._outbox.deliver_all(patience)

    # Trials ---------------------------------------------------------------------------------

    def begin_trial(
        self, number: int, config: TrialConfig, facts: Facts, name: str, gate: Gate
    ) -> str:
        """Create the run of a trial and return its id."""
        rules = (gate.convention, gate.provenance, gate.provenance_int8)
        if rules not in self._conventions:
            self._conventions.add(rules)
            self._record = None  # what the study says of itself is read anew
        tags = {runs.KIND: "trial", runs.TRIAL: str(number)}
        return self._begin(name, config, facts, gate, tags)

    def end_run(self, row: Row, outcome: Outcome) -> Row:
        """Write metrics and state, then the final status; return the row as it can be read back."""
        row = super().end_run(row, outcome)
        self._new.append(row)
        return row

    def refuse(self, row: Row) -> None:
        """Add a refused candidate to the table of the sweep's run."""
        self._table.append(row)
        self._new.append(row)

    def refused_again(self, rows: Iterable[Row]) -> None:
        """Add the refused candidates that a kill kept from the table."""
        self._new += self._table.complete(rows)

    def flush(self) -> None:
        """Write the epochs and the refused rows that were kept back."""
        super().flush()
        if self._refused is not None:
            self._refused.flush()

    @property
    def _table(self) -> RefusedTable:
        assert self._refused is not None  # noqa: S101 - a sweep was begun
        return self._refused

    # What was left --------------------------------------------------------------------------

    def close_ended(self, run_id: str) -> Row | None:
        """Set the status of a run whose end was written, and return its row; None for others."""
        row = super().close_ended(run_id)
        if row is not None:
            self._new.append(row)
        return row

    def run_of(self, number: int) -> str | None:
        """Return the id of the last run of a trial, or None where none was made.

        It may have been closed as interrupted by who read the study meanwhile.
        """
        for kind in ("trial", State.INTERRUPTED.value):
            found = self._runs(f"tags.kind = '{kind}' and tags.`{runs.TRIAL}` = '{number}'")
            if found:
                return str(found[-1].info.run_id)
        return None

    # Reading back ---------------------------------------------------------------------------

    def log_metrics(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Write further figures on a run: those of its finals, those of the test split."""
        super().log_metrics(run_id, figures)
        self._record = None

    def record(self) -> StudyRecord:
        """Return the study's trials that ended; read once, and kept up to date since."""
        if self._outbox is not None and self._outbox.delivered:
            self._outbox.delivered = False
            self._record = None
        if self._record is None:
            self._record = self._read()
        elif self._new:
            rows = {row.trial: row for row in (*self._record.rows, *self._new)}
            ordered = tuple(rows[number] for number in sorted(rows))
            self._record = dataclasses.replace(self._record, rows=ordered)
        self._new.clear()
        return self._record

    def trained(self, newest: int) -> list[Row]:
        """Return the trials that finished or were stopped, so many of the newest with their curves.

        What `record` returns is read with them: the study is read once at a start.
        """
        self._record = self._read(newest)
        rows = self._record.rows
        return [row for row in rows if row.state in (State.FINISHED, State.PRUNED)]

    def _read(self, newest: int = 0) -> StudyRecord:
        """Read the trials that ended, so many of the newest with curves and layers."""
        self.flush()
        self._new.clear()
        experiment = self.client.get_experiment(self.experiment_id)
        found = study_of(self.client, experiment, detailed=newest)
        ended = tuple(row for row in found.rows if row.state.ended)
        return dataclasses.replace(found, rows=ended)

    def refresh_views(self, *, pictures: bool = False) -> None:
        """Bring the study's note and saved view up to date; never fails.

        ``pictures`` also writes the study's figures to the sweep's run.
        """
        if self.owes:
            return
        try:
            record = self.record()
        except Exception as error:
            if self._outbox is None or not tracker_is_away(error):
                raise
            return
        views.refresh(self.client, self.experiment_id, record)
        if pictures and record.rows:
            if record.figures:  # they draw curves and analyses, which the log does not keep
                experiment = self.client.get_experiment(self.experiment_id)
                record = study_of(self.client, experiment, detailed=ALL)
            views.log_pictures(self.client, self.parent_id, record)


def _description(sweep: Sweep, facts: Facts, convention: str) -> str:
    """Return what makes an experiment a study, as JSON; without class names too long for a tag."""
    content: dict[str, Any] = {
        "format": runs.FORMAT,
        "objectives": [asdict(objective) for objective in sweep.objectives],
        "budget": dict(sweep.budget.limits) if sweep.budget else None,
        "target": sweep.budget.target if sweep.budget else None,
        "dataset": facts.dataset,
        "split_sizes": dict(facts.split_sizes),
        "classes": facts.classes,
        "convention": convention,
        "data": identity_of(facts, sweep.first().data_key),
        "omitted": facts.omitted[:OMITTED_KEPT],
    }
    if sweep.figures:
        content["figures"] = [asdict(figure) for figure in sweep.figures]
        content["analysis"] = sweep.analysis  # what the figures may draw
    text = json.dumps(content)
    if len(text) <= runs.EXPERIMENT_TAG_LIMIT:
        return text
    short = {"classes": [], "omitted": (), "data": without_classes(content["data"])}
    return json.dumps({**content, **short})
