"""Training: repeatable, honest about its split, and clear about its failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from edgebench import data
from edgebench.data import Dataset
from edgebench.errors import EdgebenchError
from edgebench.models import MODELS
from edgebench.registry import bind
from edgebench.scores import SCORES, counted
from edgebench.training import Epoch, Observer, Recipe, Step, Stop, TrainingFailed
from edgebench.training import loop as training
from edgebench.training.batches import mixed, normalizer
from edgebench.training.device import (
    choose_device,
    computes_bfloat16,
    memory_format,
    resolve_precision,
)
from edgebench.training.regularization import regularize

CPU = torch.device("cpu")
GOLDEN_NORMS = [
    1.708807771766035, 2.8112533245457705, 0.0734924776929288, 2.4228069208755865,
    4.014406279209415, 0.1287148876759266, 1.0849756195823272, 0.28590169871930965,
]  # fmt: skip


def recipe(**options: Any) -> Recipe:
    """Return a recipe of two short epochs with flat ``options``."""
    return Recipe(**bind(Recipe, {"epochs": 2, "batch_size": 32, "learning_rate": 3e-3} | options))


class Listener(Observer):
    """Writes down all that it is told of epochs."""

    def __init__(self) -> None:
        self.told: list[tuple[int, Mapping[str, float]]] = []

    def on_epoch(self, number: int, metrics: Epoch) -> Stop | None:
        """Write the epoch down."""
        self.told.append((number, metrics))
        return None


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return the made images with a known answer."""
    return data.load("synthetic")


def fit(
    dataset: Dataset,
    chosen: Recipe | None = None,
    seed: int = 0,
    observers: Sequence[Observer] = (),
) -> tuple[training.Training, torch.nn.Module]:
    """Train a small network."""
    torch.manual_seed(seed)
    model = MODELS["gap"](dataset.input_shape, len(dataset.classes), width=8, blocks=2)
    chosen = chosen or recipe()
    result = training.train(model, dataset, chosen, device=CPU, seed=seed, observers=observers)
    return result, model


def test_the_same_seed_gives_the_same_weights(dataset: Dataset) -> None:
    """Bit for bit on one device; another seed gives other weights."""
    weights = []
    for seed in (3, 3, 4):
        _, model = fit(dataset, seed=seed)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "chosen",
    [
        recipe(epochs=4),
        recipe(epochs=6, optimizer="sgd", learning_rate=0.05, schedule="one_cycle"),
        recipe(epochs=4, schedule="constant", label_smoothing=0.1, decayed_parameters="weights",
               precision="float32"),
    ],
    ids=["reference", "sgd", "smoothed"],
)  # fmt: skip
def test_every_recipe_learns_what_can_be_learned(dataset: Dataset, chosen: Recipe) -> None:
    """The brighter quarter is found by all but a few."""
    listener = Listener()
    result, _ = fit(dataset, chosen, observers=[listener])
    assert result.best_accuracy > 0.9
    assert [number for number, _ in listener.told] == list(range(1, chosen.epochs + 1))
    assert [dict(metrics) for _, metrics in listener.told] == list(result.curve)
    assert result.stopped is None


def test_the_default_recipe_gives_the_weights_that_it_always_gave(dataset: Dataset) -> None:
    """Norms of the weights after two epochs, as commit 6f0a7cb gave them.

    Another processor may round otherwise: they agree to five digits.
    """
    _, model = fit(dataset, recipe(precision="float32"), seed=5)
    norms = [float(p.detach().double().norm()) for p in model.parameters()]
    assert norms == pytest.approx(GOLDEN_NORMS, rel=1e-5)


def test_the_model_holds_the_best_epochs_weights(dataset: Dataset) -> None:
    """What was reported as best is what the model answers afterwards."""
    result, model = fit(dataset, recipe(epochs=4, learning_rate=0.05))
    normalize = normalizer(dataset.mean, dataset.std, CPU)
    _, counts = training.evaluate(model, dataset.validation, normalize)
    accuracy = SCORES["accuracy"](counts)
    assert accuracy == max(epoch["val/accuracy"] for epoch in result.curve) == result.best_accuracy


def test_evaluation_agrees_with_numpy(dataset: Dataset) -> None:
    """Loss and accuracy by hand, from the definition of cross-entropy."""
    _, model = fit(dataset)
    split = dataset.validation
    loss, counts = training.evaluate(model, split, normalizer(dataset.mean, dataset.std, CPU))
    images = split.images.numpy() / 255.0
    mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (dataset.mean, dataset.std))
    with torch.no_grad():
        logits = (
            model(torch.from_numpy(((images - mean) / std).astype(np.float32))).double().numpy()
        )
    log_odds = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = split.labels.numpy()
    assert loss == pytest.approx(-log_odds[np.arange(len(labels)), labels].mean(), rel=1e-4)
    np.testing.assert_array_equal(counts, counted(labels, logits.argmax(1), len(dataset.classes)))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_rate_of_a_thousand_is_the_reason_of_the_failure(
    dataset: Dataset, optimizer: str
) -> None:
    """Found in the first epoch; the reason names loss, epoch and learning rate."""
    with pytest.raises(
        TrainingFailed,
        match=r"^the training loss (rose from 1\.\d+ to \d\S+|became (nan|inf)) in epoch 1 "
        r"\(learning rate 1000\)$",
    ):
        fit(dataset, recipe(optimizer=optimizer, learning_rate=1e3))


def test_a_loss_that_is_not_finite_ends_the_trial(dataset: Dataset) -> None:
    """The reason names the epoch and the learning rate."""
    with pytest.raises(
        TrainingFailed,
        match=r"^the training loss became (nan|inf) in epoch 1 \(learning rate 1e\+30\)$",
    ):
        fit(dataset, recipe(optimizer="sgd", learning_rate=1e30, schedule="constant"))


class Spoil(Observer):
    """Spoils the network before the last step of the first epoch."""

    def __init__(self, steps: int, spoil: Callable[[torch.nn.Module], None]) -> None:
        self.steps, self.spoil = steps, spoil

    def on_step(self, step: Step) -> None:
        """Spoil it once."""
        if step.number == self.steps:
            self.spoil(step.model)


def _overflow(model: torch.nn.Module) -> None:
    with torch.no_grad():
        list(model.parameters())[-1][0] = float("inf")  # a bias of the last layer: its class wins


def _lost_statistic(model: torch.nn.Module) -> None:
    norm = next(one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var.fill_(float("inf"))  # the normalized output is 0: all losses stay finite


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_overflow, r"the validation loss became (nan|inf) in epoch 1 \(learning rate 0\.003\)"),
        (
            _lost_statistic,
            r"'0\.1\.running_var' holds values that are no finite numbers after epoch 1, .* \(.*\)",
        ),
    ],
)
def test_what_could_not_be_exported_is_found_in_training(
    dataset: Dataset, spoil: Callable[[torch.nn.Module], None], message: str
) -> None:
    """A finite training loss is not enough: validation loss, weights and statistics are looked at.

    The last step of an epoch changes the weights after the training loss was taken.
    """
    steps = len(dataset.train) // 32
    with pytest.raises(TrainingFailed, match=f"^{message}$"):
        fit(dataset, observers=[Spoil(steps, spoil)])


def test_a_high_loss_that_comes_down_is_no_failure(dataset: Dataset) -> None:
    """A rate of 1 doubles the loss of guessing at first and learns from there."""
    result, _ = fit(dataset, recipe(learning_rate=1.0, epochs=3))
    assert result.curve[0]["train/loss"] > 2 * np.log(4)
    assert result.best_accuracy > 0.4


def test_running_out_of_memory_is_a_reason(dataset: Dataset) -> None:
    """The CPU's allocator refuses a petabyte; the reason says so."""

    class Greedy(torch.nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.new_empty(2**48)

    with pytest.raises(TrainingFailed, match=r"^out of memory: "):
        training.train(Greedy(1, 1), dataset, recipe(), device=CPU, seed=0)


def test_precision_asks_the_hardware() -> None:
    """``auto`` follows what the processor says it computes; an explicit wish is obeyed."""
    able = computes_bfloat16(CPU)
    flags = torch.cpu.get_capabilities()
    assert able == any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert resolve_precision("auto", CPU) == ("bfloat16" if able else "float32")
    assert resolve_precision("float32", CPU) == "float32"


def test_a_missing_gpu_is_the_users_mistake() -> None:
    """``--device cuda`` where there is none."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert choose_device("auto") == CPU
    with pytest.raises(EdgebenchError, match="--device cuda: PyTorch sees no CUDA device here"):
        choose_device("cuda")


def test_regularization_is_the_gradient_of_the_norms() -> None:
    """Against PyTorch's gradient of ``l1 sum |w| + l2 sum w^2``; without a gradient, nothing."""
    weights = [torch.nn.Parameter(torch.randn(3, 2)) for _ in range(2)]
    idle = torch.nn.Parameter(torch.ones(1))
    for l1, l2 in ((0.1, 0.0), (0.0, 0.2), (0.1, 0.2)):
        penalty = sum(l1 * weight.abs().sum() + l2 * weight.square().sum() for weight in weights)
        assert isinstance(penalty, torch.Tensor)
        expected = torch.autograd.grad(penalty, weights)
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        regularize([*weights, idle], l1, l2)
        for weight, gradient in zip(weights, expected, strict=True):
            torch.testing.assert_close(weight.grad, 1 + gradient)
    regularize([idle], 0.1, 0.1)
    assert idle.grad is None


def test_regularized_weights_are_smaller(dataset: Dataset) -> None:
    """Of the layers that no norm follows, and more so the stronger it is."""
    sizes = []
    for given in ({}, {"l2": 0.01}, {"l2": 0.1}, {"l1": 0.01}):
        _, model = fit(dataset, recipe(optimizer="sgd", momentum=0.0, weight_decay=0.0, **given))
        dense = next(one for one in model.modules() if isinstance(one, torch.nn.Linear))
        sizes.append(float(dense.weight.detach().norm()))
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] > sizes[3]


def test_the_last_epoch_may_be_kept(dataset: Dataset) -> None:
    """Whatever its accuracy, and the result is that epoch's."""
    result, model = fit(dataset, recipe(epochs=4, learning_rate=0.05, kept_epoch="last"))
    assert result.best_epoch == 4
    assert result.best_accuracy == result.curve[-1]["val/accuracy"]
    normalize = normalizer(dataset.mean, dataset.std, CPU)
    _, counts = training.evaluate(model, dataset.validation, normalize)
    np.testing.assert_array_equal(counts, result.counts)


class Weights(Observer):
    """Keeps the dense layer's weight before each step."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_step(self, step: Step) -> None:
        """Copy it."""
        dense = next(one for one in step.model.modules() if isinstance(one, torch.nn.Linear))
        self.seen.append(dense.weight.detach().clone())


def test_the_average_of_the_weights_is_judged_and_kept(dataset: Dataset) -> None:
    """The first step's weights, then each step's share of a tenth; training itself is unchanged."""
    watched = Weights()
    given = recipe(epochs=2, ema_decay=0.9, kept_epoch="last")
    result, model = fit(dataset, given, observers=[watched])
    plain = Weights()
    other, trained = fit(dataset, recipe(epochs=2, kept_epoch="last"), observers=[plain])
    assert all(torch.equal(*pair) for pair in zip(watched.seen, plain.seen, strict=True))
    last = next(one for one in trained.modules() if isinstance(one, torch.nn.Linear))
    after = [*plain.seen[1:], last.weight.detach()]
    average = after[0]
    for weight in after[1:]:
        average = 0.9 * average + 0.1 * weight
    dense = next(one for one in model.modules() if isinstance(one, torch.nn.Linear))
    torch.testing.assert_close(dense.weight.detach(), average)
    assert result.curve[0]["train/loss"] == other.curve[0]["train/loss"]
    assert result.curve[0]["val/loss"] != other.curve[0]["val/loss"]


def test_precise_statistics_are_the_training_splits(dataset: Dataset) -> None:
    """The first norm's mean and variance are those of the first convolution's outputs.

    The mean over batches of their variances is the variance but for what the batches' means differ.
    """
    given = recipe(norm_statistics="precise", epochs=1)
    _, model = fit(dataset, given)
    conv, norm = list(model.modules())[2:4]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    images = normalizer(dataset.mean, dataset.std, CPU)(dataset.train.images)
    with torch.no_grad():
        outputs = conv(images)
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)), rtol=0.01, atol=0.01)
    torch.testing.assert_close(norm.running_var, outputs.var((0, 2, 3)), rtol=0.02, atol=0.01)
    assert norm.momentum == 0.1


def test_mixed_images_have_mixed_losses() -> None:
    """The blend of two images costs the blend of two losses, by one share in 0..1."""
    torch.manual_seed(0)
    inputs, labels = torch.eye(4).view(4, 4, 1, 1), torch.tensor([0, 1, 2, 3])
    logits = torch.randn(4, 4)
    criterion = torch.nn.functional.cross_entropy
    for alpha in (0.2, 1.0):
        blended, loss = mixed(inputs, criterion, alpha)
        share = float(blended[0, 0])
        assert 0 <= share <= 1
        torch.testing.assert_close(blended, share * inputs + (1 - share) * inputs.flip(0))
        expected = share * criterion(logits, labels)
        expected += (1 - share) * criterion(logits, labels.flip(0))
        torch.testing.assert_close(loss(logits, labels), expected)


@pytest.mark.parametrize(
    "given",
    [
        {"mixup": 0.2},
        {"ema_decay": 0.8},
        {"norm_statistics": "precise"},
        {"loss": "mse", "optimizer": "adam"},
        {"loss": "multi_margin", "optimizer": "rmsprop", "warmup": 0.2},
        {"loss": "focal", "optimizer": "muon"},
        {"optimizer": "adagrad", "learning_rate": 0.03, "schedule": "cyclical"},
    ],
    ids="-".join,
)
def test_what_a_recipe_may_add_learns_and_follows_the_seed(
    dataset: Dataset, given: dict[str, Any]
) -> None:
    """The brighter quarter is found, and twice in the same way."""
    runs = [fit(dataset, recipe(**{"epochs": 5, "learning_rate": 0.01} | given)) for _ in range(2)]
    assert runs[0][0].best_accuracy > 0.8
    assert runs[0][0].curve == runs[1][0].curve


@pytest.mark.parametrize(
    ("inputs", "kernel", "stride", "expected"),
    [
        (4, 1, 2, torch.contiguous_format),
        (15, 1, (1, 2), torch.contiguous_format),
        (16, 1, 2, torch.channels_last),
        (4, 1, 1, torch.channels_last),
        (4, 3, 2, torch.channels_last),
    ],
)
def test_no_order_of_memory_that_trains_wrongly(
    inputs: int, kernel: int, stride: Any, expected: torch.memory_format
) -> None:
    """A strided 1x1 convolution of few channels has a right gradient; the others stay fast."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(inputs, 8, kernel, stride, bias=False)
    assert memory_format(torch.nn.Sequential(conv), CPU) == expected
    images = torch.randint(0, 256, (8, inputs, 16, 16), dtype=torch.uint8)
    normalize = normalizer([0.5] * inputs, [0.5] * inputs, CPU, expected)
    conv.to(memory_format=expected)  # type: ignore[call-overload]  # the stub lags
    conv(normalize(images)).square().sum().backward()
    double = torch.nn.Conv2d(inputs, 8, kernel, stride, bias=False).double()
    double.weight.data.copy_(conv.weight.detach())
    double((images.double() / 255 - 0.5) / 0.5).square().sum().backward()
    assert conv.weight.grad is not None
    assert double.weight.grad is not None
    torch.testing.assert_close(conv.weight.grad.double(), double.weight.grad, rtol=1e-3, atol=1e-2)


def test_a_batch_of_one_image_trains_where_no_batch_norm_needs_more(dataset: Dataset) -> None:
    """Otherwise the option is named, with the nearest value; 64 images are 64 steps."""
    few = dataclasses.replace(dataset, train=dataset.train[torch.arange(64)])
    recipe = Recipe(**bind(Recipe, {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3}))
    losses = StepCounter()
    model = MODELS["mlp"](dataset.input_shape, 4, width=4)
    training.train(model, few, recipe, device=torch.device("cpu"), seed=0, observers=[losses])
    assert losses.steps == 64
    with pytest.raises(TrainingFailed) as caught:
        training.train(MODELS["gap"](dataset.input_shape, 4, width=4), few, recipe,
              device=torch.device("cpu"), seed=0)  # fmt: skip
    assert str(caught.value) == (
        "train.batch_size: 1 leaves batch norm nothing to average over; the nearest valid value "
        "is 2"
    )


class StepCounter(Observer):
    """Counts the steps."""

    steps = 0

    def on_step(self, step: Step) -> None:
        """Keep its number."""
        self.steps = step.number
