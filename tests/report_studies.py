"""Synthetic studies for the report's tests: arithmetic, not training, makes the numbers."""

from __future__ import annotations

import dataclasses
import random

from edgebench.record import Objective, Row, State, StudyRecord

OBJECTIVES = (
    Objective("val/accuracy_best", "maximize"),
    Objective("footprint/rom_bytes", "minimize"),
)


def reference() -> StudyRecord:
    """Return the published comparison's two networks and a refused third, figures as published."""
    vgg = {
        "val/accuracy_best": 0.8820,
        "test/accuracy": 0.8719,
        "footprint/macs": 43722752,
        "footprint/macc": 43954784,
        "footprint/parameters": 4576394,
        "footprint/rom_bytes": 18322076,
        "footprint/ram_bytes": 97280,
    }
    gap = {
        "val/accuracy_best": 0.8180,
        "footprint/macs": 39520768,
        "footprint/macc": 39754848,
        "footprint/parameters": 373386,
        "footprint/rom_bytes": 1510044,
        "footprint/ram_bytes": 97020,
    }
    wide = {"footprint/rom_bytes": 73000000, "footprint/ram_bytes": 190000}
    vgg, gap, wide = (with_uppers(one) for one in (vgg, gap, wide))
    common = {"model.width": 64, "train.epochs": 15}
    hidden = {"model.hidden": 1024}
    rows = [
        Row(0, "a" * 32, "trial-0000-vgg-w64", "finished", None,
            {"model.family": "vgg", **common, **hidden}, vgg),
        Row(1, "b" * 32, "trial-0001-gap-w64", "finished", None,
            {"model.family": "gap", **common}, gap),
        Row(2, "c" * 32, "trial-0002-vgg-w128", "refused",
            "ROM 73,000,000 B is over 20,000,000 B by 53,000,000 B",
            {"model.family": "vgg", **common, **hidden, "model.width": 128}, wide),
    ]  # fmt: skip
    return StudyRecord(
        "table1",
        OBJECTIVES,
        rows,
        dataset="cifar10",
        split_sizes={"validation": 10000, "test": 10000},
        budget={"rom_bytes": 20000000},
        provenance="estimated",
        convention="st, float32, fused chains",
    )


def with_uppers(metrics: dict[str, float]) -> dict[str, float]:
    """Return the figures with upper ones, 2 % above those of memory."""
    uppers = {
        name.replace("_bytes", "_upper_bytes"): value + value // 50
        for name, value in metrics.items()
        if name.startswith(("footprint/rom_bytes", "footprint/ram_bytes"))
    }
    return metrics | uppers


def misfit(title: str, figure: float, upper: float, limit: int) -> str | None:
    """Say how a figure stands to the limit of a board, where it does not surely meet it."""
    if figure > limit:
        over = f"{figure - limit:,} B"
        return f"{title} {figure:,} B is over {limit:,} B of stm32f746g-disco by {over}"
    if upper > limit:
        return (
            f"may fit: {title} {figure:,} B is under {limit:,} B of stm32f746g-disco, but may be "
            f"up to {upper:,} B, {upper - limit:,} B over"
        )
    return None


def synthetic(trials: int = 500, *, layers: int = 12, seed: int = 0) -> StudyRecord:
    """Return a study of ``trials`` rows with every optional part, of plausible figures."""
    draw = random.Random(seed)  # noqa: S311 - figures, not secrets
    rows = [_row(number, draw, layers) for number in range(trials)]
    return StudyRecord(
        f"synthetic-{trials}",
        OBJECTIVES,
        rows,
        dataset="synthetic",
        split_sizes={"validation": 5000, "test": 10000},
        budget={"rom_upper_bytes": 1_000_000, "ram_upper_bytes": 320_000},
        target="stm32f746g-disco",
        provenance="estimated",
        convention="st, float32, fused chains",
        classes=tuple("abcdefghij"),
    )


def quantized(trials: int = 60, *, seed: int = 0) -> StudyRecord:
    """Return a study that was searched for the int8 model, with the figures of both models.

    The int8 model takes about a quarter of the memory and loses up to four points of accuracy, not
    the same for each trial: the two fronts differ, and so do the two verdicts.
    """
    single = synthetic(trials, seed=seed)
    draw = random.Random(seed)  # noqa: S311 - figures, not secrets
    rows = [_with_int8(row, draw) for row in single.rows]
    return dataclasses.replace(
        single,
        study=f"quantized-{trials}",
        rows=rows,
        objectives=(
            Objective("val/accuracy_int8", "maximize"),
            Objective("footprint/rom_bytes_int8", "minimize"),
        ),
        budget={"rom_upper_bytes_int8": 300_000, "ram_upper_bytes_int8": 320_000},
    )


def _with_int8(row: Row, draw: random.Random) -> Row:
    figures = {
        f"{name}_int8": value // 4 + 6000 if name.endswith("_bytes") else value + 100
        for name, value in row.metrics.items()
        if name.startswith("footprint/") and "upper" not in name
    }
    figures = with_uppers(figures)
    rom, upper = (figures[f"footprint/rom_{kind}bytes_int8"] for kind in ("", "upper_"))
    reason = misfit("ROM int8", rom, upper, 300_000)
    metrics = {**row.metrics, **figures}
    if reason or "val/accuracy_best" not in row.metrics:
        metrics = {name: value for name, value in metrics.items() if name.startswith("footprint/")}
        return Row(
            row.trial,
            "",
            row.name,
            State.REFUSED,
            reason or "it cannot be built",
            row.params,
            metrics,
        )
    metrics["val/accuracy_int8"] = round(row.metrics["val/accuracy_best"] - draw.random() / 25, 4)
    return dataclasses.replace(row, metrics=metrics)


def crowded(trained: int = 200, refused: int = 3000, *, seed: int = 0) -> StudyRecord:
    """Return a study under a tight budget: most candidates refused, which have no run of theirs."""
    whole = synthetic(trained, seed=seed)
    template = [row for row in whole.rows if row.state == "finished"]
    draw = random.Random(seed)  # noqa: S311 - figures, not secrets
    rows: list[Row] = []
    for number in range(trained + refused):
        base = draw.choice(template)
        name = f"trial-{number:04}{base.name[10:]}"
        base = dataclasses.replace(base, trial=number, name=name)
        before, after = (n * trained // (trained + refused) for n in (number, number + 1))
        rows.append(base if before < after else _refused(base, draw))
    return dataclasses.replace(whole, study=f"crowded-{trained}-{refused}", rows=rows)


def _refused(row: Row, draw: random.Random) -> Row:
    figure, title, limit = draw.choice(
        [("rom_bytes", "ROM", 1_000_000)] * 2 + [("ram_bytes", "RAM", 320_000)]
    )
    used = limit + draw.randrange(1, 5_000_000)
    figures = {k: v for k, v in row.metrics.items() if k.startswith("footprint/")}
    figures = with_uppers(figures | {f"footprint/{figure}": used})
    reason = f"{title} {used:,} B is over {limit:,} B of stm32f746g-disco by {used - limit:,} B"
    return Row(row.trial, "", row.name, State.REFUSED, reason, row.params, figures)


def pruned(row: Row, epochs: int = 2) -> Row:
    """Return a finished row as it would be had it been stopped after ``epochs`` epochs."""
    kept = {name: value for name, value in row.metrics.items() if name.startswith("footprint/")}
    return dataclasses.replace(
        row,
        state=State.PRUNED,
        reason=f"it could not join the front any more (epoch {epochs})",
        metrics=kept,
        curves={name: values[:epochs] for name, values in row.curves.items()},
    )


def _row(number: int, draw: random.Random, layers: int) -> Row:
    family = draw.choice(["vgg", "gap"])
    width = draw.choice([8, 12, 16, 24, 32, 48, 64])
    parameters = width * width * (90 if family == "gap" else 1100) + draw.randrange(500)
    rom, ram = 4 * parameters + 15000, 1500 * width + draw.randrange(900)
    macc = width * width * 9700 + draw.randrange(10000)
    params = {"model.family": family, "model.width": width, "train.epochs": 5}
    params |= {"train.learning_rate": round(10 ** draw.uniform(-4, -2), 6)}
    footprint = {
        "footprint/macs": macc - 200,
        "footprint/macc": macc,
        "footprint/parameters": parameters,
        "footprint/rom_bytes": rom,
        "footprint/ram_bytes": ram,
        "footprint/activations_bytes": ram - 3000,
    }
    footprint = with_uppers(footprint)
    name = f"trial-{number:04}-{family}-w{width}"
    operators = [
        {
            "name": f"conv{i}",
            "op": "Conv",
            "output_shape": [1, width, 32, 32],
            "parameters": parameters // layers,
            "macc": macc // layers,
            "live_bytes": ram * (layers - i) // layers,
        }
        for i in range(layers)
    ]
    identity = f"{draw.getrandbits(128):032x}"
    reason = misfit("ROM", rom, footprint["footprint/rom_upper_bytes"], 1_000_000)
    if reason:
        return Row(number, identity, name, "refused", reason, params, footprint, layers=operators)
    accuracy = round(0.9 - 0.5 / width**0.6 + draw.gauss(0, 0.01), 4)
    epochs = range(1, 6)
    curves = {
        "train/loss": [round(2.3 / e, 4) for e in epochs],
        "train/accuracy": [round(accuracy * (1.02 - 0.3 / e), 4) for e in epochs],
        "val/loss": [round(2.4 / e, 4) for e in epochs],
        "val/accuracy": [round(accuracy * (1 - 0.3 * (1 / e - 0.2)), 4) for e in epochs],
    }
    metrics = {"val/accuracy_best": accuracy, "time/train_s": 12.5, **footprint}
    confusion = [[90 if i == j else (i + j) % 4 for j in range(10)] for i in range(10)]
    filters = [
        [[[draw.gauss(0, 1) for _ in range(3)] for _ in range(3)] for _ in range(3)]
        for _ in range(width if number < 20 else 0)
    ]
    return Row(
        number, identity, name, "finished", None, params, metrics,
        curves=curves, layers=operators, filters=filters or None,
        confusion={"float32": confusion, "int8": confusion},
    )  # fmt: skip
