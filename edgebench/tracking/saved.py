"""A saved run as what it was made of: its network, its own images, its preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import EdgebenchError
from edgebench.export import Preprocessing

if TYPE_CHECKING:  # reading a record must not cost an import of PyTorch
    from torch import nn

    from edgebench.data import Dataset
    from edgebench.tracking.reading import SavedRun


def model_of(saved: SavedRun) -> nn.Module:
    """Rebuild the trained network from the run's configuration and checkpoint, for evaluation."""
    import torch

    from edgebench.trial import build

    model = build(saved.config, saved.input_shape, len(saved.classes))
    model.load_state_dict(torch.load(saved.checkpoint, map_location="cpu", weights_only=True))
    return model.eval()


def preprocessing_of(saved: SavedRun) -> Preprocessing:
    """Return what turns pixels into the inputs that the run's network was trained on."""
    return Preprocessing(saved.mean, saved.std, saved.classes)


def dataset_of(saved: SavedRun, name: str | None = None, data_dir: Path | None = None) -> Dataset:
    """Load the run's own images, split as they were; ``name`` says where they are now.

    Raises:
        EdgebenchError: They cannot be read, or they are others than the run was trained on.
    """
    from edgebench import data

    try:
        found = data.load(
            name or saved.config.dataset,
            data_dir=data_dir,
            seed=saved.config.split_seed,
            options=saved.config.data_options,
        )
    except EdgebenchError as error:
        hint = "" if name else "; say where the run's images are with --dataset or --data-dir"
        raise EdgebenchError(f"{error}{hint}") from error
    _check_same(saved, found)
    return found


def origin_of(saved: SavedRun, dataset: Dataset) -> dict[str, object]:
    """Say where the model comes from, without a path of this machine."""
    from edgebench import data

    return {
        "name": saved.name,
        "run_id": saved.run_id,
        "study": saved.study,
        "deployed": saved.deployed,
        "family": saved.config.family,
        "params": dict(saved.config.params),
        "dataset": saved.dataset_name,
        "dataset_digest": dataset.digest,
        "seed": saved.config.seed,
        "resize": data.resize_rule(saved.config.dataset, saved.config.data_options),
        "normalization": _normalization(saved),
    }


def _normalization(saved: SavedRun) -> str:
    """Say how inputs are normalized, and what that costs at inference."""
    from edgebench import data

    kind = saved.config.data_options.normalization
    macs, size = data.input_cost(kind, saved.input_shape)
    if not size:
        return f"{kind}: before the model, one multiplication and addition a pixel"
    return (
        f"{kind}: mean and deviation as stated, then the first layer of the model, which has "
        f"{macs:,} of its MACs and {size:,} of its float32 weight bytes"
    )


def _check_same(saved: SavedRun, found: Dataset) -> None:
    """Refuse images that differ from what the record says of the run's own."""
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


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in values)


def _short(values: tuple[object, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:4])
    return f"({shown}, …)" if len(values) > 4 else f"({shown})"
