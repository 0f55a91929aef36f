"""The proof of an export, on the run that it is about."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mlflow.entities import Metric

from edgebench.report import plain
from edgebench.tracking import runs

if TYPE_CHECKING:
    from edgebench.export import Ladder

PROOF = "proof.json"


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
