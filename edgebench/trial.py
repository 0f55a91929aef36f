"""One candidate from configuration to outcome: the page that calls the stages in turn."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from edgebench import audit, data, export
from edgebench.data import Dataset
from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.footprint import measure
from edgebench.models import MODELS
from edgebench.profiling import profile
from edgebench.sketch import sketch
from edgebench.space import Budget, TrialConfig
from edgebench.training import Epoch, TrainingFailed, train

MAX_ABS_DIFF = 1e-3
MIN_AGREEMENT = 0.999
"""An export that differs more than this from its model is broken, not rounded."""


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate, complete enough to be recorded by another process.

    Attributes:
        state: ``finished``, ``refused`` (over the budget, or cannot be built) or ``failed``.
        reason: Why it was refused or failed, else None.
        metrics: Final figures by the names of the metric contract.
        curve: The metrics of each epoch.
        usage: used / limit - 1 of each budgeted figure; feasible iff all <= 0.
        layers: The operators in order, as the footprint counts them.
        onnx: The exported model, or None.
        checkpoint: The trained weights as ``torch.save`` writes a state dict, or None.
    """

    state: Literal["finished", "refused", "failed"]
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Epoch, ...] = ()
    usage: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    onnx: bytes | None = None
    checkpoint: bytes | None = None


@functools.lru_cache(maxsize=1)
def dataset_of(name: str, data_dir: Path, split_seed: int) -> Dataset:
    """Load a data set, once a process."""
    return data.load(name, data_dir=data_dir, seed=split_seed)


def build(config: TrialConfig, dataset: Dataset) -> nn.Module:
    """Build the untrained model of ``config``, its weights drawn from its seed.

    Raises:
        EdgebenchError: The options do not suit the data set's images.
    """
    torch.manual_seed(config.seed)
    family = MODELS[config.family]
    return family(dataset.input_shape, len(dataset.classes), **config.model_options)


def run(
    config: TrialConfig,
    budget: Budget | None,
    *,
    data_dir: Path,
    device: torch.device,
    on_epoch: Callable[[int, Epoch], None],
) -> Outcome:
    """Take ``config`` through gate, training, export and proof.

    A candidate over ``budget`` is refused before a single gradient step. What goes wrong with the
    candidate is an outcome; what goes wrong with the request (no such data) is raised.

    Raises:
        EdgebenchError: The data set cannot be read.
    """
    dataset = dataset_of(config.dataset, data_dir, config.split_seed)
    try:
        model = build(config, dataset)
    except EdgebenchError as error:
        return Outcome("refused", str(error))
    gate = _gate(model, dataset, budget)
    if gate.reason:
        return gate
    try:
        metrics = dict(gate.metrics)
        metrics["audit/macs_fvcore"] = _audited(model, dataset, int(metrics["footprint/macs"]))
        training = train(
            model, dataset, config.recipe, device=device, seed=config.seed, on_epoch=on_epoch
        )
        proven, proof = _proven(model, dataset, gate)
    except (TrainingFailed, CheckFailed) as failure:
        return replace(gate, state="failed", reason=str(failure))
    metrics |= proof
    metrics["val/accuracy_best"] = training.best_accuracy
    metrics["val/epoch_best"] = training.best_epoch
    metrics["time/train_s"] = training.seconds
    return replace(
        gate,
        state="finished",
        metrics=metrics,
        curve=training.curve,
        onnx=proven,
        checkpoint=_checkpoint(model),
    )


def _gate(model: nn.Module, dataset: Dataset, budget: Budget | None) -> Outcome:
    """Measure the untrained candidate; the reason is set where it is over the budget."""
    estimate = measure(profile(sketch(model, dataset.input_shape)))
    metrics = estimate.metrics()
    figures = {name.removeprefix("footprint/"): value for name, value in metrics.items()}
    return Outcome(
        "refused",
        budget.excess(figures) if budget else None,
        metrics,
        usage=budget.usage(figures) if budget else {},
        layers=tuple(estimate.as_dict()["layers"]),
    )


def _audited(model: nn.Module, dataset: Dataset, ours: int) -> int:
    """Have fvcore count the same model; two sources that disagree are no measurement."""
    theirs = audit.count_macs(model, dataset.input_shape)
    if theirs != ours:
        raise CheckFailed(f"the MACs disagree: {ours:,} in the ONNX graph, {theirs:,} by fvcore")
    return theirs


def _proven(model: nn.Module, dataset: Dataset, gate: Outcome) -> tuple[bytes, dict[str, float]]:
    """Export, and prove it: same answers on the validation images, same footprint as the gate."""
    pre = preprocessing(dataset)
    exported = export.to_onnx(model, dataset.input_shape, metadata=pre.metadata())
    images = torch.from_numpy(pre.apply(dataset.validation.images.numpy()))
    parity = export.parity(model, exported, images)
    if not (parity.max_abs_diff <= MAX_ABS_DIFF and parity.top1_agreement >= MIN_AGREEMENT):
        raise CheckFailed(
            f"the exported model answers differently: logits up to {parity.max_abs_diff:g} apart, "
            f"{parity.top1_agreement:.2%} of {parity.images} answers agree"
        )
    shipped = measure(profile(exported)).metrics()
    wrong = [name for name, value in shipped.items() if gate.metrics[name] != value]
    if wrong:
        raise CheckFailed(
            f"the gate measured {wrong[0]} {gate.metrics[wrong[0]]:,}, but the exported model has "
            f"{shipped[wrong[0]]:,}"
        )
    return export.serialise(exported), {
        "parity/max_abs_diff": parity.max_abs_diff,
        "parity/mean_abs_diff": parity.mean_abs_diff,
        "parity/top1_agreement": parity.top1_agreement,
    }


def preprocessing(dataset: Dataset) -> export.Preprocessing:
    """Return what turns a pixel of ``dataset`` into an input, as the exported model carries it."""
    return export.Preprocessing(dataset.mean, dataset.std, dataset.classes)


def examine(model: bytes, config: TrialConfig, data_dir: Path) -> float:
    """Return the accuracy of an exported model on the test split, opened here alone."""
    dataset = dataset_of(config.dataset, data_dir, config.split_seed)
    images = preprocessing(dataset).apply(dataset.test.images.numpy())
    logits = export.answers(model, images, threads=torch.get_num_threads())
    return float((logits.argmax(1) == dataset.test.labels.numpy()).mean())


def _checkpoint(model: nn.Module) -> bytes:
    weights = {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()
