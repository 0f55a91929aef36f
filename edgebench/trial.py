"""One candidate from configuration to outcome: the page that calls the stages in turn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from edgebench import data, export
from edgebench.data import Dataset
from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export import untrained_graph, untrained_int8_graph
from edgebench.footprint import Footprint, Target, measure
from edgebench.metrics import Dtype, estimated, metric_of
from edgebench.models import MODELS
from edgebench.profiling import profile
from edgebench.record import Opening, State
from edgebench.registry import bind
from edgebench.scores import CLASSES_LISTED, Counts, counted, scored
from edgebench.space import CONVENTION, INT8, Budget, TrialConfig
from edgebench.training import Observer, TrainingFailed, train


@dataclass(frozen=True)
class Gate:
    """What is known of a candidate before a single gradient step.

    Attributes:
        refusal: Why it is not trained (over the budget, cannot be built), or None.
        metrics: Its footprint, by the names of the record.
        usage: used / limit - 1 of each budgeted figure; feasible iff all <= 0.
        layers: The operators in order, as the footprint counts them.
        convention: By which rules it was measured.
        provenance: How the figures were obtained, by which version of which tool's rules.
        provenance_int8: The same of the int8 model, where there is one.
        board: Of which the latency among the figures is, or None.
    """

    refusal: str | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    convention: str = CONVENTION
    provenance: str = ""
    provenance_int8: str = ""
    board: Target | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate that the gate admitted, complete enough to be recorded elsewhere.

    Attributes:
        state: Finished, pruned, paused or failed.
        reason: Why it was stopped or failed, else None.
        metrics: Final figures by the names of the record, the gate's among them.
        curve: The metrics of each epoch.
        precision: In which it was trained: ``float32`` or ``bfloat16``; "" where it was not.
        onnx: The exported model, or None.
        onnx_int8: The quantized model where the configuration asks for it, or None.
        checkpoint: The trained weights as ``torch.save`` writes a state dict, or None.
        analyses: What each analysis of the training found, as JSON data.
        confusion: Validation images by true and predicted class, of the model in each data type;
            empty where there are more classes than `CLASSES_LISTED`.
    """

    state: State
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    precision: str = ""
    onnx: bytes | None = None
    onnx_int8: bytes | None = None
    checkpoint: bytes | None = None
    analyses: Mapping[str, Any] = field(default_factory=dict)
    confusion: Mapping[Dtype, Sequence[Sequence[int]]] = field(default_factory=dict)


def dataset_of(config: TrialConfig, data_dir: Path, *, anew: bool = False) -> Dataset:
    """Load the data set of ``config``; the last two are kept.

    One that is read ``anew``, whatever was kept, also tells what it holds (`Dataset.contents`).
    """
    key = (config.dataset, data_dir, config.split_seed, config.data_options)
    if anew and key not in _SENT:
        _LOADED.pop(key, None)
    if key not in _LOADED:
        loaded = data.load(
            config.dataset,
            data_dir=data_dir,
            seed=config.split_seed,
            options=config.data_options,
            identify=anew,
        )
        _keep(key, loaded)
    return _LOADED[key]


def keep_dataset(config: TrialConfig, data_dir: Path, dataset: Dataset) -> None:
    """Have `dataset_of` return ``dataset``, which was sent here, for such configurations."""
    key = (config.dataset, data_dir, config.split_seed, config.data_options)
    _SENT.add(key)
    _keep(key, dataset)


def _keep(key: Any, dataset: Dataset) -> None:
    while len(_LOADED) > 1:
        del _LOADED[next(iter(_LOADED))]
    _LOADED[key] = dataset


_SENT: set[Any] = set()
"""What was sent to this process by a coordinator that had just read it: it is not read anew."""
_LOADED: dict[Any, Dataset] = {}


def build(config: TrialConfig, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the untrained model of ``config``, its weights drawn from its seed.

    A normalization that is a layer stands first in it; `fit_input` sets its numbers.

    Raises:
        EdgebenchError: The options do not suit the images.
    """
    torch.manual_seed(config.seed)
    family = MODELS[config.family]
    network: nn.Module = family(input_shape, classes, **bind(family, config.model_options))
    first = data.input_layer(config.data_options.normalization, input_shape)
    return network if first is None else nn.Sequential(first, network)


def fit_input(model: nn.Module, dataset: Dataset) -> None:
    """Set the numbers of the layer that normalizes inputs, where ``model`` begins with one."""
    first = dataset.input_layer()
    if first is not None and isinstance(model, nn.Sequential):
        model[0].load_state_dict(first.state_dict())


def gate(
    config: TrialConfig,
    budget: Budget | None,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    needed: Sequence[str] = (),
) -> Gate:
    """Measure a candidate without building its weights: the graph decides, in milliseconds.

    What cannot be built, is over the budget or may be, or lacks an estimate of one of the figures
    ``needed`` (by their names), is refused.
    """
    try:
        return _measured(config, budget, input_shape, classes, needed)
    except EdgebenchError as error:
        return Gate(str(error))


def _measured(
    config: TrialConfig,
    budget: Budget | None,
    input_shape: tuple[int, int, int],
    classes: int,
    needed: Sequence[str],
) -> Gate:
    with torch.device("meta"):  # shapes without storage
        model = build(config, input_shape, classes)
    graph = untrained_graph(model, input_shape)
    board = budget.board if budget else None
    convention = budget.runtime if budget else CONVENTION
    models = {"": measure(profile(graph), convention, target=board)}
    if config.int8:
        models[INT8] = measure(profile(untrained_int8_graph(graph)), convention, target=board)
    metrics = {k: v for suffix, one in models.items() for k, v in one.metrics(suffix).items()}
    figures = {name.removeprefix("footprint/"): value for name, value in metrics.items()}
    limits = [f"footprint/{key}" for key in budget.limits] if budget else []
    missing = _without_latency(models, [*needed, *limits], metrics)
    return Gate(
        (budget.excess(figures) if budget else None) or missing,
        metrics,
        budget.usage(figures) if budget else {},
        tuple(layer.record() for layer in models[""].layers),
        convention,
        _provenance(models[""]),
        _provenance(models[INT8]) if INT8 in models else "",
        board,
    )


def _without_latency(
    models: Mapping[str, Footprint], needed: Sequence[str], metrics: Mapping[str, float]
) -> str | None:
    """Say why a time that the study needs has no estimate, or None."""
    for name in needed:
        metric = metric_of(name)
        if name in metrics or not metric.footprint or metric.unit != "milliseconds":
            continue
        found = models.get(INT8 if metric.dtype == "int8" else "")
        why = found.latency_provenance if found else None
        return f"{estimated(metric).title}: {why or 'no estimate'}"
    return None


def _provenance(footprint: Footprint) -> str:
    """Say where the figures come from; of the time too, where there is one."""
    parts = [footprint.provenance]
    if footprint.latency_ms is not None:
        parts.append(f"latency {footprint.latency_provenance}")
    return "; ".join(parts)


def run(
    config: TrialConfig,
    gate: Gate,
    *,
    data_dir: Path,
    device: torch.device,
    observers: Sequence[Observer] = (),
    start: bytes | None = None,
    stop: str | None = None,
) -> Outcome:
    """Train a candidate that ``gate`` admitted, export it and prove it.

    What goes wrong with the candidate is an outcome, and so is that an observer stopped or paused
    it; what goes wrong with the request (no such data) is raised. One that was paused goes on from
    ``start``, or ends there for the reason ``stop`` (see `edgebench.training.train`).

    Raises:
        EdgebenchError: The data set cannot be read.
    """
    dataset = dataset_of(config, data_dir)
    model = build(config, dataset.input_shape, len(dataset.classes))
    fit_input(model, dataset)
    outcome = Outcome(State.FAILED, metrics=gate.metrics)
    try:
        metrics = dict(gate.metrics)
        metrics["audit/macs_fvcore"] = _audited(model, dataset, int(metrics["footprint/macs"]))
        training = train(
            model,
            dataset,
            config.recipe,
            device=device,
            seed=config.seed,
            observers=observers,
            start=start,
            stop=stop,
        )
        if training.paused:
            return replace(outcome, state=State.PAUSED, curve=training.curve)
        metrics["val/accuracy_best"] = training.best_accuracy
        metrics |= _further(scored(training.counts, dataset.classes, "val"))
        metrics["val/epoch_best"] = training.best_epoch
        metrics["time/train_s"] = training.seconds
        outcome = replace(
            outcome, metrics=metrics, curve=training.curve, precision=training.precision
        )
        if training.stopped:
            return replace(outcome, state=State.PRUNED, reason=training.stopped)
        outcome = replace(outcome, confusion=_listed("float32", training.counts))
        proven = _proven(model, dataset, gate, int8=config.int8)
    except (TrainingFailed, CheckFailed) as failure:
        return replace(outcome, reason=str(failure))
    return replace(
        outcome,
        state=State.FINISHED,
        metrics=metrics | dict(proven.metrics),
        checkpoint=_checkpoint(model),
        onnx=proven.onnx,
        onnx_int8=proven.onnx_int8,
        confusion={**outcome.confusion, **proven.confusion},
    )


def _listed(dtype: Dtype, counts: Counts) -> dict[Dtype, Sequence[Sequence[int]]]:
    """Return a confusion matrix as data, unless it would be too large to be read."""
    return {dtype: counts.tolist()} if len(counts) <= CLASSES_LISTED else {}


def _further(scores: Mapping[str, float]) -> dict[str, float]:
    """Leave out the accuracy: the name is that of each epoch's, the best one has its own."""
    return {name: value for name, value in scores.items() if name != "val/accuracy"}


def _audited(model: nn.Module, dataset: Dataset, ours: int) -> int:
    """Have fvcore count the same model; two sources that disagree are no measurement."""
    theirs = export.count_macs(model, dataset.input_shape)
    if theirs != ours:
        raise CheckFailed(f"the MACs disagree: {ours:,} in the ONNX graph, {theirs:,} by fvcore")
    return theirs


def _proven(model: nn.Module, dataset: Dataset, gate: Gate, *, int8: bool) -> Outcome:
    """Export, and prove it: same outputs on the validation images, same footprint as the gate."""
    train, validation = (
        export.LabelledImages(split.images.numpy(), split.labels.numpy())
        for split in (dataset.train_centre, dataset.validation)
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
    confusion: dict[Dtype, Sequence[Sequence[int]]] = {}
    if proven.choice is not None:
        _same_footprint(proven.choice.model, gate, INT8)
        counts = counted(validation.labels, proven.choice.predicted, len(dataset.classes))
        metrics |= scored(counts, dataset.classes, "val", INT8)
        confusion = _listed("int8", counts)
        quantized = export.serialize(proven.choice.model)
    exported = export.serialize(proven.float_model)
    return Outcome(
        State.FINISHED, metrics=metrics, onnx=exported, onnx_int8=quantized, confusion=confusion
    )


def _same_footprint(shipped: onnx.ModelProto, gate: Gate, suffix: str = "") -> None:
    """What is measured is what ships: the gate must have promised these figures."""
    found = measure(profile(shipped), gate.convention, target=gate.board).metrics(suffix)
    for name, value in found.items():
        if gate.metrics.get(name) != value:
            raise CheckFailed(
                f"the gate measured {name} {gate.metrics.get(name, 0):,}, but the exported model "
                f"has {value:,}"
            )


def preprocessing(dataset: Dataset) -> export.Preprocessing:
    """Return what turns a pixel of ``dataset`` into an input, as the exported model carries it."""
    return export.Preprocessing(dataset.mean, dataset.std, dataset.classes)


def judge(
    model: bytes, config: TrialConfig, data_dir: Path, opening: Opening, suffix: str = ""
) -> dict[str, float]:
    """Return the scores of an exported model on the test split, whose opening is recorded.

    By the names of the record: ``test/accuracy`` and so on, with ``suffix``.
    """
    dataset = dataset_of(config, data_dir)
    test = dataset.open_test(opening)
    images = preprocessing(dataset).apply(test.images.numpy())
    predicted = export.onnx_logits(model, images).argmax(1)
    counts = counted(test.labels.numpy(), predicted, len(dataset.classes))
    return scored(counts, dataset.classes, "test", suffix)


def _checkpoint(model: nn.Module) -> bytes:
    weights = {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()
