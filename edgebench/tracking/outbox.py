"""Writes to an MLflow server that may be away: made at once, or kept in the journal and made later.

While the journal owes something, everything is written to it, so that the order stays; now and then
the server is tried again. A write whose answer got lost may have been made: what is delivered is
made in a way that a second time changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from edgebench.errors import CheckFailed, EdgebenchError, redacted
from edgebench.record import Facts
from edgebench.tracking.journal import Entry, Journal
from edgebench.tracking.servers import TRACKERS, check_address, is_away, is_database_server

LOG = logging.getLogger(__name__)
OWN = "journal-"
"""How a run is called before MLflow knows it."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds between attempts to deliver
END_SECONDS = 60.0
"""How long the end of a study waits for the server."""
LogModel = Callable[[str, str, bytes, Facts], None]


def tracker_is_away(error: BaseException) -> bool:
    """Tell whether an error is that MLflow's server, or its database, cannot be reached."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return bool(error.response.status_code >= 500)
    if isinstance(error, requests.RequestException | ConnectionError | TimeoutError):
        return True
    if isinstance(error, MlflowException):
        return bool(error.get_http_status_code() >= 500)  # type: ignore[no-untyped-call]  # MLflow's
    return is_away(error)


@contextlib.contextmanager
def stores_reached(uri: str, storage: str) -> Iterator[None]:
    """Turn the error of MLflow's or Optuna's server that is away into one line, inside.

    Raises:
        CheckFailed: It is away.
    """
    try:
        yield
    except EdgebenchError:
        raise
    except Exception as error:
        if is_database_server(storage) and is_away(error):
            gone = f"Optuna's store {redacted(storage)}"
        elif uri.startswith("http") and tracker_is_away(error):
            gone = f"MLflow's server {redacted(uri)}"
        else:
            raise
        raise CheckFailed(
            f"{gone} is away; what was finished is kept, the same command goes on when it is back"
        ) from None


class Outbox:
    """MLflow's client for one study: what it writes reaches the server once, in order, or later.

    What is not defined here is the client's own, and raises where the server is away.
    """

    def __init__(self, client: MlflowClient, uri: str, path: Path, log_model: LogModel) -> None:
        self._client = client
        self._uri = uri
        self._journal = Journal(path)
        self._log_model = log_model
        self._pause = FIRST_PAUSE
        self._due = 0.0
        self._since = time.monotonic()
        self.delivered = False
        """Something was, since this was last set back: runs have other names than their rows."""

    def __getattr__(self, name: str) -> Any:
        """Return a method of the client."""
        return getattr(self._client, name)

    @property
    def owes(self) -> int:
        """How many writes the server does not have yet."""
        return len(self._journal)

    # What is written ------------------------------------------------------------------------

    def create_run(self, experiment_id: str, tags: Mapping[str, str], run_name: str) -> Any:
        """Make a run; its ``info.run_id`` is the journal's own name where that has to wait."""
        own = f"{OWN}{uuid.uuid4().hex[:12]}"
        asked = {"experiment_id": experiment_id, "start_time": int(time.time() * 1000)}
        entry = Entry("create_run", own, {**asked, "tags": dict(tags), "run_name": run_name})
        return SimpleNamespace(info=SimpleNamespace(run_id=self._do(entry)))

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool = True,
    ) -> None:
        """Write figures, params and tags."""
        content = {"metrics": list(metrics), "params": list(params), "tags": list(tags)}
        self._do(Entry("log_batch", run_id, {**content, "synchronous": synchronous}))

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput]) -> None:
        """Write which data sets a run has."""
        self._do(Entry("log_inputs", run_id, {"datasets": list(datasets)}))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Write a text as an artifact."""
        self._do(Entry("log_text", run_id, {"text": text, "artifact_file": artifact_file}))

    def log_dict(self, run_id: str, dictionary: Mapping[str, Any], artifact_file: str) -> None:
        """Write JSON data as an artifact."""
        content = {"dictionary": dictionary, "artifact_file": artifact_file}
        self._do(Entry("log_dict", run_id, content))

    def log_artifact(self, run_id: str, local_path: str) -> None:
        """Write a file as an artifact of its name."""
        path = Path(local_path)
        self._do(Entry("log_artifact", run_id, {"name": path.name, "content": path.read_bytes()}))

    def log_model(self, run_id: str, name: str, model: bytes, facts: Facts) -> None:
        """Write an ONNX file as a logged model."""
        content = {"name": name, "model": model, "facts": asdict(facts)}
        self._do(Entry("log_model", run_id, content))

    def update_run(self, run_id: str, status: str) -> None:
        """Change the status of a run that is not over."""
        self._do(Entry("update_run", run_id, {"status": status}))

    def set_terminated(self, run_id: str, status: str) -> None:
        """Close a run, now."""
        self._do(
            Entry("set_terminated", run_id, {"status": status, "end_time": int(time.time() * 1000)})
        )

    def _do(self, entry: Entry) -> str:
        """Write now, or keep the write; return the run's id."""
        if not self._journal:
            try:
                return self._perform(entry, again=False)
            except Exception as error:
                if not tracker_is_away(error):
                    raise
                self._since = time.monotonic()
                LOG.warning(
                    "MLflow's server %s is away; the study goes on, and what it writes is kept in "
                    "%s until the server is back",
                    redacted(self._uri),
                    self._journal.path,
                )
        self._journal.append(entry)
        self.deliver_if_due()
        return entry.run

    # What is delivered ----------------------------------------------------------------------

    def deliver_if_due(self) -> None:
        """Try the server again, where something is owed and the last attempt is long enough ago."""
        if self._journal and time.monotonic() >= self._due:
            self.deliver()

    def deliver(self) -> bool:
        """Deliver what is owed; return whether nothing is any more."""
        count = len(self._journal)
        if not count:
            return True
        try:
            check_address("--tracking-uri", self._uri, TRACKERS)
            for number, entry in self._journal.owed():
                self._journal.mark(number, entry, self._perform(entry, again=True))
        except Exception as error:
            if not (isinstance(error, EdgebenchError) or tracker_is_away(error)):
                raise
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
            self._due = time.monotonic() + self._pause
            return False
        self._pause = FIRST_PAUSE
        self.delivered = True
        LOG.warning(
            "MLflow's server %s has all %d writes that were kept for it, after %.0f s",
            redacted(self._uri),
            count,
            time.monotonic() - self._since,
        )
        return True

    def deliver_all(self, patience: float = END_SECONDS) -> None:
        """Wait for the server for ``patience`` seconds, and deliver what is owed.

        Raises:
            CheckFailed: It stays away; the journal keeps what is owed.
        """
        deadline = time.monotonic() + patience
        while not self.deliver():
            if time.monotonic() > deadline:
                raise CheckFailed(
                    f"MLflow's server {redacted(self._uri)} is away: {len(self._journal)} writes "
                    f"of the study are kept in {self._journal.path}; the same command delivers "
                    "them and goes on"
                )
            time.sleep(min(self._pause, FIRST_PAUSE))

    def _perform(self, entry: Entry, *, again: bool) -> str:
        """Make a write, of which ``again`` says that it may have been made; return the run's id."""
        if entry.call == "create_run":
            made = self._made(entry) if again else None
            if made is not None:
                return made
            return str(self._client.create_run(**entry.arguments).info.run_id)
        run_id = self._journal.runs.get(entry.run, entry.run)
        if entry.call == "log_artifact":
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / entry.arguments["name"]
                file.write_bytes(entry.arguments["content"])
                self._client.log_artifact(run_id, str(file))
        elif entry.call == "log_model":
            if again:
                self._forget_model(run_id, entry.arguments["name"])
            facts = Facts(**entry.arguments["facts"])
            self._log_model(run_id, entry.arguments["name"], entry.arguments["model"], facts)
        else:
            getattr(self._client, entry.call)(run_id, **entry.arguments)
        return run_id

    def _made(self, entry: Entry) -> str | None:
        """Return the run that an attempt whose answer got lost has made, or None."""
        asked = entry.arguments
        wanted = f"attributes.start_time = {asked['start_time']}"
        for run in self._client.search_runs([asked["experiment_id"]], wanted):
            if run.info.run_name == asked["run_name"]:
                return str(run.info.run_id)
        return None

    def _forget_model(self, run_id: str, name: str) -> None:
        """Delete the models of a run of this name: an attempt may have left a part of one."""
        experiment = self._client.get_run(run_id).info.experiment_id
        mine = f"source_run_id = '{run_id}' and name = '{name}'"
        for model in self._client.search_logged_models([experiment], mine):
            self._client.delete_logged_model(model.model_id)
