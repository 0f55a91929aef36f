"""The proof of an export and the digests of hand-overs, on the run that they are about."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mlflow.entities import Metric

from edgebench.errors import EdgebenchError
from edgebench.report import plain
from edgebench.tracking import runs
from edgebench.tracking.reading import find_run

if TYPE_CHECKING:
    from edgebench.export import Ladder

PROOF = "proof.json"
HANDOVERS = "handovers"
"""The folder of a run's artifacts that has the digests of each of its hand-overs."""


def record_proof(
    run_id: str, ladder: Ladder, proof: Mapping[str, Any], *, tracking_uri: str | None = None
) -> None:
    """Write the ladder to a run, passed or not: figures as metrics, ``proof`` as an artifact.

    A figure that is not finite is in the artifact alone.
    """
    client = runs.reader(tracking_uri)
    now = int(1000 * time.time())
    figures = [
        Metric(name, value, now, 0)
        for name, value in ladder.metrics().items()
        if math.isfinite(value)
    ]
    client.log_batch(run_id, figures)
    client.log_dict(run_id, cast("dict[str, Any]", plain(dict(proof))), PROOF)


def record_handover(
    run_id: str, digests: Mapping[str, str], *, tracking_uri: str | None = None
) -> None:
    """Write the digests of a hand-over's files to a run; those of its others stay."""
    name = f"{HANDOVERS}/{digests[PROOF][:16]}.json"
    runs.reader(tracking_uri).log_dict(run_id, dict(digests), name)


def recorded_handovers(run: str, *, tracking_uri: str | None = None) -> list[dict[str, str]]:
    """Return the digests of every hand-over that was exported from a run, by file.

    Raises:
        EdgebenchError: There is no such run, or none was exported from it.
    """
    client = runs.reader(tracking_uri)
    found = find_run(client, run)
    kept = [one.path for one in client.list_artifacts(found.info.run_id, HANDOVERS)]
    if not kept:
        raise EdgebenchError(
            f"no hand-over of '{run}' is recorded; 'edgebench export {run} -o DIR/' records one"
        )
    texts = [runs.download(client, found, path).read_text(encoding="utf-8") for path in kept]
    return [{str(name): str(digest) for name, digest in json.loads(t).items()} for t in texts]
