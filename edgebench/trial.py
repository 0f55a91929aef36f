"""One candidate from configuration to outcome: the page that calls the stages in turn."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import nn

from edgebench import data, export
from edgebench.data import Dataset
from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export import untrained_graph, untrained_int8_graph
from edgebench.footprint import measure
from edgebench.models import MODELS
from edgebench.profiling import profile
from edgebench.registry import bind
from edgebench.space import INT8, Budget, TrialConfig
from edgebench.training import Epoch, Observer, Stop, TrainingFailed, train


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
        onnx_int8: The quantized model where the configuration asks for it, or None.
        checkpoint: The trained weights as ``torch.save`` writes a state dict, or None.
    """

    state: Literal["finished", "refused", "failed"]
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Epoch, ...] = ()
    usage: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    onnx: bytes | None = None
    onnx_int8: bytes | None = None
    checkpoint: bytes | None = None


@functools.lru_cache(maxsize=1)
def dataset_of(name: str, data_dir: Path, split_seed: int) -> Dataset:
    """Load a data set, once a process."""
    return data.load(name, data_dir=data_dir, seed=split_seed)


def build(config: TrialConfig, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the untrained model of ``config``, its weights drawn from its seed.

    Raises:
        EdgebenchError: The options do not suit the images.
    """
    torch.manual_seed(config.seed)
    family = MODELS[config.family]
    return family(input_shape, classes, **bind(family, config.model_options))


@dataclass
class _EpochsTold(Observer):
    """Hands each epoch to a function."""

    tell: Callable[[int, Epoch], None]

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """Hand the epoch on; training is never stopped."""
        self.tell(number, metrics)
        return None


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
        model = build(config, dataset.input_shape, len(dataset.classes))
    except EdgebenchError as error:
        return Outcome("refused", str(error))
    gate = _gate(model, dataset, budget, int8=config.int8)
    if gate.reason:
        return gate
    try:
        metrics = dict(gate.metrics)
        metrics["audit/macs_fvcore"] = _audited(model, dataset, int(metrics["footprint/macs"]))
        training = train(
            model,
            dataset,
            config.recipe,
            device=device,
            seed=config.seed,
            observers=[_EpochsTold(on_epoch)],
        )
        proven = _proven(model, dataset, gate, int8=config.int8)
    except (TrainingFailed, CheckFailed) as failure:
        return replace(gate, state="failed", reason=str(failure))
    metrics |= proven.metrics
    metrics["val/accuracy_best"] = training.best_accuracy
    metrics["val/epoch_best"] = training.best_epoch
    metrics["time/train_s"] = training.seconds
    return replace(
        proven,
        state="finished",
        metrics=metrics,
        curve=training.curve,
        checkpoint=_checkpoint(model),
    )


def _gate(model: nn.Module, dataset: Dataset, budget: Budget | None, *, int8: bool) -> Outcome:
    """Measure the untrained candidate; the reason is set where it is over the budget."""
    graph = untrained_graph(model, dataset.input_shape)
    estimate = measure(profile(graph))
    metrics = estimate.metrics()
    if int8:
        metrics |= measure(profile(untrained_int8_graph(graph))).metrics(INT8)
    figures = {name.removeprefix("footprint/"): value for name, value in metrics.items()}
    return Outcome(
        "refused",
        budget.excess(figures) if budget else None,
        metrics,
        usage=budget.usage(figures) if budget else {},
        layers=tuple(layer.record() for layer in estimate.layers),
    )


def _audited(model: nn.Module, dataset: Dataset, ours: int) -> int:
    """Have fvcore count the same model; two sources that disagree are no measurement."""
    theirs = export.count_macs(model, dataset.input_shape)
    if theirs != ours:
        raise CheckFailed(f"the MACs disagree: {ours:,} in the ONNX graph, {theirs:,} by fvcore")
    return theirs


def _proven(model: nn.Module, dataset: Dataset, gate: Outcome, *, int8: bool) -> Outcome:
    """Export, and prove it: same outputs on the validation images, same footprint as the gate."""
    train, validation = (
        export.LabelledImages(split.images.numpy(), split.labels.numpy())
        for split in (dataset.train, dataset.validation)
    )
    proven = export.prove(
        model,
        preprocessing(dataset),
        export.Request(int8=int8),
        train=train,
        validation=validation,
        evaluation=validation,
    )
    exact = proven.ladder.rungs[0]
    export.require_passed(exact)  # what int8 loses is a figure of the trial, not a failure
    _same_footprint(proven.float_model, gate)
    metrics: dict[str, float] = {
        "parity/max_abs_diff": exact.max_abs_diff,
        "parity/mean_abs_diff": exact.mean_abs_diff,
        "parity/top1_agreement": exact.top1_agreement,
    }
    quantized = None
    if proven.choice is not None:
        _same_footprint(proven.choice.model, gate, INT8)
        metrics[f"val/accuracy{INT8}"] = proven.choice.accuracy
        quantized = export.serialize(proven.choice.model)
    exported = export.serialize(proven.float_model)
    return replace(gate, metrics=metrics, onnx=exported, onnx_int8=quantized)


def _same_footprint(shipped: onnx.ModelProto, gate: Outcome, suffix: str = "") -> None:
    """What is measured is what ships: the gate must have promised these figures."""
    for name, value in measure(profile(shipped)).metrics(suffix).items():
        if gate.metrics[name] != value:
            raise CheckFailed(
                f"the gate measured {name} {gate.metrics[name]:,}, but the exported model has "
                f"{value:,}"
            )


def preprocessing(dataset: Dataset) -> export.Preprocessing:
    """Return what turns a pixel of ``dataset`` into an input, as the exported model carries it."""
    return export.Preprocessing(dataset.mean, dataset.std, dataset.classes)


def examine(model: bytes, config: TrialConfig, data_dir: Path) -> float:
    """Return the accuracy of an exported model on the test split, opened here alone."""
    dataset = dataset_of(config.dataset, data_dir, config.split_seed)
    images = preprocessing(dataset).apply(dataset.test.images.numpy())
    logits = export.onnx_logits(model, images)
    return float((logits.argmax(1) == dataset.test.labels.numpy()).mean())


def _checkpoint(model: nn.Module) -> bytes:
    weights = {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()
