"""What is judged after an epoch and kept: the trained network, or the average of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import swa_utils

from edgebench.data import Dataset
from edgebench.training.batches import Normalizer
from edgebench.training.evaluation import EVALUATION_BATCH
from edgebench.training.recipe import Recipe


class Judged:
    """The network whose accuracy counts.

    With ``ema_decay`` it is a second network that holds the moving average of the trained one's
    weights and statistics (Polyak and Juditsky, Acceleration of Stochastic Approximation by
    Averaging, 1992). With ``norm_statistics: precise`` its batch norms are given the statistics of
    the whole training split in place of running averages (Wu and Johnson, Rethinking "Batch" in
    BatchNorm, 2021, section 3).
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._model = model
        self._precise = recipe.norm_statistics == "precise"
        self._average: swa_utils.AveragedModel | None = None
        if recipe.ema_decay:
            average = swa_utils.get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]  # torch ships no type for it
            self._average = swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    def after_step(self) -> None:
        """Take the weights of one more step into the average."""
        if self._average is not None:
            self._average.update_parameters(self._model)

    def state(self) -> dict[str, Any] | None:
        """Return what the average has taken so far, or None where there is none."""
        return None if self._average is None else self._average.state_dict()

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take what `state` returned."""
        if self._average is not None and state is not None:
            self._average.load_state_dict(state)

    def after_epoch(self, dataset: Dataset, normalize: Normalizer) -> nn.Module:
        """Return the network as it is to be judged."""
        judged = self._model if self._average is None else self._average.module
        if self._precise:
            swa_utils.update_bn(_batches(dataset.train_centre.images, normalize), judged)
        return judged


def _batches(images: Tensor, normalize: Normalizer) -> Iterator[Tensor]:
    """Yield all images, normalized, as they are shown to the network when it is judged."""
    for start in range(0, len(images), EVALUATION_BATCH):
        yield normalize(images[start : start + EVALUATION_BATCH])
