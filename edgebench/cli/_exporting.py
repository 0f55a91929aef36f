"""A run of the record as the export needs it: network, images, origin; and the proof put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgebench.errors import EdgebenchError

if TYPE_CHECKING:
    from torch import nn

    from edgebench.data import Dataset
    from edgebench.export import LabelledImages, Preprocessing, Proven
    from edgebench.tracking import SavedRun


def dataset_of(saved: SavedRun, name: str | None, data_dir: Path | None) -> Dataset:
    """Load the run's own images; raises EdgebenchError where others are found."""
    from edgebench import data

    try:
        found = data.load(
            name or saved.config.dataset, data_dir=data_dir, seed=saved.config.split_seed
        )
    except EdgebenchError as error:
        hint = "" if name else "; say where the run's images are with --dataset or --data-dir"
        raise EdgebenchError(f"{error}{hint}") from error
    compared: tuple[tuple[str, tuple[Any, ...], tuple[Any, ...]], ...] = (
        ("classes", saved.classes, found.classes),
        ("image shape", saved.input_shape, found.input_shape),
        # Sums in another order differ in the last digits.
        ("mean", _rounded(saved.mean), _rounded(found.mean)),
        ("deviation", _rounded(saved.std), _rounded(found.std)),
    )
    for what, expected, got in compared:
        if expected != got:
            raise EdgebenchError(
                f"'{found.name}' is not the data set that '{saved.name}' was trained on "
                f"('{saved.dataset_name}'): its {what} {_short(got)} should be {_short(expected)}"
            )
    return found


def model_of(saved: SavedRun) -> nn.Module:
    """Rebuild the trained network from the run's configuration and checkpoint."""
    import torch

    from edgebench.models import MODELS
    from edgebench.registry import bind

    family = MODELS[saved.config.family]
    options = bind(family, saved.config.model_options)
    model = family(saved.input_shape, len(saved.classes), **options)
    model.load_state_dict(torch.load(saved.checkpoint, map_location="cpu", weights_only=True))
    return model.eval()


def preprocessing_of(saved: SavedRun) -> Preprocessing:
    """Return what the run's network was fed with."""
    from edgebench.export import Preprocessing

    return Preprocessing(saved.mean, saved.std, saved.classes)


def images_of(dataset: Dataset, split: str) -> LabelledImages:
    """Return one split of ``dataset`` as arrays."""
    from datetime import UTC, datetime

    from edgebench.export import LabelledImages
    from edgebench.record import Opening

    if split == "test":
        now = datetime.now(UTC).isoformat()
        chosen = dataset.open_test(Opening(now, "edgebench export --split test"))
    else:
        chosen = getattr(dataset, split)
    return LabelledImages(chosen.images.numpy(), chosen.labels.numpy())


def origin_of(saved: SavedRun, dataset: Dataset) -> dict[str, object]:
    """Say where the model comes from, without a path of this machine."""
    return {
        "name": saved.name,
        "run_id": saved.run_id,
        "study": saved.study,
        "family": saved.config.family,
        "params": dict(saved.config.params),
        "dataset": saved.dataset_name,
        "dataset_digest": dataset.digest,
        "seed": saved.config.seed,
    }


def record(run_id: str, proven: Proven, proof: dict[str, Any], uri: str | None) -> None:
    """Put the ladder on the run, passed or not: figures as metrics, the proof as an artifact."""
    import math
    import time

    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from edgebench.record import MLFLOW_STORE
    from edgebench.report import plain

    client = MlflowClient(tracking_uri=uri or MLFLOW_STORE)
    now = int(1000 * time.time())
    figures = proven.ladder.metrics().items()
    client.log_batch(
        run_id, [Metric(name, value, now, 0) for name, value in figures if math.isfinite(value)]
    )
    client.log_dict(run_id, cast("dict[str, Any]", plain(proof)), "proof.json")


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values)


def _short(values: tuple[object, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:4])
    return f"({shown}, …)" if len(values) > 4 else f"({shown})"
