"""Retrain a study's front with new seeds, then open the test split once and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgebench.cli._running import watched
from edgebench.record import MLFLOW_STORE, OPTUNA_STORE
from edgebench.report import plain, render
from edgebench.units import Share, interval

if TYPE_CHECKING:
    from edgebench.report import Mean
    from edgebench.search import Finals, Member


@click.command()
@click.argument("study")
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings of each member.")
@click.option("--again", is_flag=True, help="Open the test split once more; it is recorded.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Local processes that train; the cores are divided among them.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--dataset", help="Where the same images are now, as in folder:PATH.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where archives and decoded images are kept.",
)
@click.option(
    "--storage",
    default=OPTUNA_STORE,
    show_default=True,
    metavar="URL",
    help="Optuna's store; the study's lock is beside it.",
)
@click.option(
    "--tracking-uri",
    default=MLFLOW_STORE,
    show_default=True,
    metavar="URI",
    help="MLflow's store.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option("--quiet", is_flag=True, help="Show no progress.")  # fmt: skip
def command(
    *,
    study: str,
    seeds: int,
    again: bool,
    workers: int,
    device: str,
    dataset: str | None,
    data_dir: Path,
    storage: str,
    tracking_uri: str,
    format_: str,
    quiet: bool,
) -> None:
    """Retrain the front of STUDY with new seeds; give means, intervals and ties.

    The test split is opened once, after all trainings, and the record says so; a second opening
    needs --again. The same command continues one that was cut off.
    """
    from edgebench.search import Settings, finalize

    settings = Settings(
        storage=storage,
        tracking_uri=tracking_uri,
        data_dir=data_dir,
        workers=workers,
        device=device,
    )
    with watched(quiet) as observe:
        finals = finalize(study, settings, observe, seeds=seeds, again=again, dataset=dataset)
    click.echo(document(finals, format_), nl=False)


def document(finals: Finals, format_: str) -> str:
    """Return the comparison as text: its rows, and with a table how to read them."""
    if format_ == "json":
        rows = [as_json(finals, member) for member in finals.members]
        content = {"study": finals.study, "openings": list(finals.openings), "rows": rows}
        return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"
    if format_ == "csv":
        return render([_flat(as_json(finals, member)) for member in finals.members], "csv")
    rows = [_shown(finals, member) for member in finals.members]
    lines = "".join(f"- {line}\n" for line in notes(finals))
    return f"{render(rows, format_, title=f'The front of {finals.study}, retrained')}\n{lines}"


def as_json(finals: Finals, member: Member) -> dict[str, object]:
    """Return a member with exact numbers: its means with their intervals, its runs, its ties."""
    metrics = _metrics(member)
    means = {name: member.mean(metric) for name, metric in metrics.items()}
    return {
        "trial": member.row.trial,
        "run_id": member.row.run_id,
        "name": member.row.name,
        "seeds": len(member.finished),
        **{name: _interval_of(mean) for name, mean in means.items()},
        "ties_with": finals.ties(member),
        "runs": [
            {"seed": seed, "run_id": run.run_id, "state": run.state, "reason": run.reason}
            | {name: run.metrics.get(metric) for name, metric in metrics.items()}
            for seed, run in member.runs.items()
        ],
    }


def notes(finals: Finals) -> list[str]:
    """Return what must be known to read the table."""
    last = finals.openings[-1]
    count = len(finals.openings)
    seeds = ", ".join(map(str, last["seeds"]))
    lines = [
        (
            f"Trained again with seeds {seeds}, which the search did not use; after that the test "
            f"split was opened on {last['when']}{f', opening {count} of {count}' * (count > 1)}."
        ),
        (
            "Intervals: 95 % of Student's t for the mean over seeds. They tell how much training "
            "varies, not how much another set of test images would."
        ),
        (
            "Ties: test accuracies whose difference has a 95 % interval (Welch) that includes "
            "zero, pair by pair."
        ),
    ]
    for member in finals.members:
        failures = member.failed.items()
        lines += [f"{member.row.name}, seed {seed} failed: {reason}." for seed, reason in failures]
    return lines


def _metrics(member: Member) -> dict[str, str]:
    """Return the compared accuracies by their names in the JSON."""
    from edgebench.search import TEST, VALIDATION
    from edgebench.space import INT8

    found = {"val_accuracy": VALIDATION, "test_accuracy": TEST}
    return found | ({f"test_accuracy{INT8}": TEST + INT8} if member.int8 else {})


def _interval_of(mean: Mean | None) -> dict[str, float | None] | None:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high} if mean else None


def _flat(row: dict[str, object]) -> dict[str, object]:
    """Return a row of the JSON as one of a CSV: an interval is three columns, runs are left out."""
    found: dict[str, object] = {}
    for name, value in row.items():
        if "accuracy" in name:
            parts = value if isinstance(value, dict) else {}
            found |= {f"{name}_{end}": parts.get(end) for end in ("mean", "low", "high")}
        elif name == "ties_with":
            found[name] = " ".join(map(str, value)) if isinstance(value, list) else None
        elif name != "runs":
            found[name] = value
    return found


def _shown(finals: Finals, member: Member) -> dict[str, object]:
    ties = finals.ties(member)
    row: dict[str, object] = {"trial": member.row.trial, "name": member.row.name}
    row["seeds"] = len(member.finished)
    titles = ("validation", "test", "test int8")
    for title, metric in zip(titles, _metrics(member).values(), strict=False):
        mean = member.mean(metric)
        row[title] = Share(mean.mean) if mean else None
        row[f"{title}, 95 %"] = interval(mean.low, mean.high) if mean else None
    row["ties with"] = None if ties is None else ", ".join(map(str, ties)) or "none"
    return row
