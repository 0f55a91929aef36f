"""What a worker does with a task, wherever it runs: carries it out and says what became of it."""

from __future__ import annotations

import traceback

from edgebench.errors import EdgebenchError
from edgebench.search.messages import Crashed, Done, Message, Mistaken
from edgebench.search.tasks import Task, Worker


def carry_out(task: Task, worker: Worker) -> Message:
    """Run a task and return the message that ends it; nothing is raised."""
    try:
        return Done(task.run(worker))
    except EdgebenchError as error:
        return Mistaken(error.mistakes)
    except Exception as error:  # noqa: BLE001 - any fault of a candidate is its row's reason
        first = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        return Crashed(f"{first}\n{traceback.format_exc()}")
