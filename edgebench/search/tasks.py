"""What a worker can be asked to do; a task is sent to it, and its result is sent back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgebench.errors import EdgebenchError
from edgebench.record import Facts, State
from edgebench.search.messages import EpochEnded, Reply

if TYPE_CHECKING:  # the coordinator names tasks without importing what they need
    import torch

    from edgebench.record import Opening
    from edgebench.space import TrialConfig
    from edgebench.trial import Gate, Outcome


@dataclass(frozen=True)
class Worker:
    """Where a task runs: the device, where data are kept, and how an epoch is told.

    ``tell`` sends an epoch and returns the reply; where no reply is expected it does not wait.
    """

    device: torch.device
    data_dir: Path
    tell: Callable[[EpochEnded, bool], Reply]


class Task(Protocol):
    """Something that a worker does; picklable, and so is what it returns."""

    def run(self, worker: Worker) -> Any:
        """Do it; raises EdgebenchError where the task is the user's mistake."""


@dataclass(frozen=True)
class Prepare:
    """Read the data set of a configuration, and say what it and the machine are."""

    config: TrialConfig

    def run(self, worker: Worker) -> Facts:
        """Return the facts; the images are read anew, so that changed ones are seen."""
        from edgebench.training import environment
        from edgebench.trial import dataset_of

        dataset = dataset_of(self.config, worker.data_dir, anew=True)
        return Facts(
            dataset.input_shape,
            dataset.classes,
            dataset.mean,
            dataset.std,
            dataset.name,
            dataset.digest,
            dataset.sizes,
            environment(worker.device),
            dataset.contents,
            dataset.omitted,
        )


@dataclass(frozen=True)
class RunTrial:
    """Train a candidate that the gate admitted, export and prove it.

    ``replies``: wait after each epoch for the coordinator's word whether to go on. ``analyses``
    name what else is observed. ``digest`` is that of the images that the study is about. ``keep``:
    send the state of each epoch along, from which another task may ``start``; where that is not to
    go on, ``stop`` says why.
    """

    config: TrialConfig
    gate: Gate
    replies: bool = False
    analyses: tuple[str, ...] = ()
    digest: str = ""
    keep: bool = False
    start: bytes | None = None
    stop: str | None = None

    def run(self, worker: Worker) -> Outcome:
        """Return what became of it."""
        from edgebench import trial
        from edgebench.analysis import ANALYSES
        from edgebench.training import Observer, Pause, Standing, Stop

        _check_images(self.config, worker, self.digest)
        tell, replies, keep = worker.tell, self.replies, self.keep

        class Reporter(Observer):
            """Tells each epoch, and stops or pauses where the reply says so."""

            def on_standing(
                self, number: int, metrics: dict[str, float], standing: Standing
            ) -> Stop | Pause | None:
                state = standing.packed() if keep else None
                told = EpochEnded(number, dict(metrics), standing.seconds, state)
                reply = tell(told, replies)
                if reply.stop:
                    return Stop(reply.stop)
                return Pause() if reply.pause else None

        analyses = {name: ANALYSES[name]() for name in self.analyses}
        outcome = trial.run(
            self.config,
            self.gate,
            data_dir=worker.data_dir,
            device=worker.device,
            observers=[*analyses.values(), Reporter()],
            start=self.start,
            stop=self.stop,
        )
        if outcome.state in (State.FAILED, State.PAUSED):
            return outcome
        found = {name: analysis.artifact() for name, analysis in analyses.items()}
        return dataclasses.replace(outcome, analyses=found)


@dataclass(frozen=True)
class Judge:
    """Measure exported models on the test split, whose opening was recorded.

    ``models`` are by the suffix of their figures: "" or ``_int8``.
    """

    config: TrialConfig
    models: Mapping[str, bytes]
    opening: Opening
    digest: str = ""

    def run(self, worker: Worker) -> dict[str, float]:
        """Return the scores of each model by their recorded names."""
        from edgebench import trial

        _check_images(self.config, worker, self.digest)
        found: dict[str, float] = {}
        for suffix, model in self.models.items():
            found |= trial.judge(model, self.config, worker.data_dir, self.opening, suffix)
        return found


def _check_images(config: TrialConfig, worker: Worker, digest: str) -> None:
    """Refuse images that were changed after the coordinator heard of them; "" asks for none."""
    from edgebench.trial import dataset_of

    if digest and dataset_of(config, worker.data_dir).digest != digest:
        raise EdgebenchError(
            f"the images of '{config.dataset}' were changed while the study runs; restore them, "
            "then the same command goes on"
        )
