"""A data set on its way to a node that does not have it: plain arrays, verified by their digest.

Arrays, since a cluster's object store keeps these once a node and shares them among its processes
without a copy.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

from edgebench import trial
from edgebench.data import Dataset, Split
from edgebench.errors import EdgebenchError
from edgebench.space import TrialConfig

SPLITS = ("train", "validation", "_test")


def packed(config: TrialConfig, data_dir: Path) -> dict[str, Any]:
    """Return the data set of a configuration, read on this machine, as plain data.

    Raises:
        EdgebenchError: It cannot be read here either.
    """
    dataset = trial.dataset_of(config, data_dir, anew=True)
    content: dict[str, Any] = {
        field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)
    }
    for name in SPLITS:
        split = content[name]
        content[name] = (split.images.contiguous().numpy(), split.labels.contiguous().numpy())
    return {"digest": dataset.digest, "fields": content}


def unpacked(parcel: dict[str, Any]) -> Dataset:
    """Return the data set of a parcel.

    Raises:
        EdgebenchError: It did not arrive as it was sent.
    """
    import torch

    content = dict(parcel["fields"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        for name in SPLITS:
            images, labels = content[name]
            content[name] = Split(torch.from_numpy(images), torch.from_numpy(labels))
    dataset = Dataset(**content)
    if dataset.digest != parcel["digest"]:
        raise EdgebenchError(
            f"the data set '{dataset.name}' did not arrive whole: its digest is {dataset.digest}, "
            f"it was sent with {parcel['digest']}"
        )
    return dataset
