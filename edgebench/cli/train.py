"""Train one configuration through the same path as a sweep's trial."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import click

from edgebench.cli._running import SEARCHED, SHOWN, WHERE, overrides, run, show, with_options


@click.command()
@click.argument("family")
@with_options(SEARCHED, WHERE, SHOWN)
def command(
    *,
    family: str,
    dataset: str | None,
    seed: int | None,
    settings: tuple[str, ...],
    format_: str,
    units: str,
    **where: Any,
) -> None:
    """Train one network of FAMILY: gate, training, proven export and record.

    The run is kept in the study train-DATASET; a configuration that is already there is answered
    from the record.
    """
    from edgebench import space

    given = {space.axis_named(key): value for key, value in overrides(settings).items()}
    name = dataset or "digits"
    content = {
        "name": "train-" + re.sub("[^A-Za-z0-9_.-]+", "-", name.rstrip("/").rpartition("/")[2]),
        "dataset": name,
        "method": "grid",
        "seed": seed or 0,
        "metrics": [
            {"name": "val/accuracy_best", "goal": "maximize"},
            {"name": "footprint/rom_bytes", "goal": "minimize"},
        ],
        "parameters": {"model.family": family, **given},
    }
    loaded = space.build(content)
    record = run(loaded, **where)
    [config] = loaded.configurations() or []
    rows = [row for row in record.rows if dict(row.params) == dict(config.params)]
    show(dataclasses.replace(record, rows=rows), format_, units, where["tracking_uri"])
