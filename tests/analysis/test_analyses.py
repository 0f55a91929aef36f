"""Contracts that every registered analysis keeps, and what each finds where it is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgebench import data
from edgebench.analysis import ANALYSES, Analysis
from edgebench.analysis.landscape import Landscape
from edgebench.data import Dataset, Split
from edgebench.models import MODELS
from edgebench.registry import bind, options
from edgebench.training import Recipe, Step, Training, predictions, train

STEPS = 2 * (576 // 64)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return the made images with a known answer."""
    return data.load("synthetic")


def fit(
    dataset: Dataset, *observers: Analysis, family: str = "gap", **given: Any
) -> tuple[nn.Module, Training]:
    """Train a small network with dropout for two epochs of 9 steps."""
    torch.manual_seed(1)
    factory = MODELS[family]
    small = {"width": 4, "blocks": 2, "dropout": 0.2} | given
    known = {name: value for name, value in small.items() if name in options(factory)}
    model = factory(dataset.input_shape, 4, **bind(factory, known))
    recipe = Recipe(**bind(Recipe, {"epochs": 2, "batch_size": 64, "learning_rate": 3e-3}))
    device = torch.device("cpu")
    return model, train(model, dataset, recipe, device=device, seed=1, observers=observers)


@pytest.fixture(scope="module")
def alone(dataset: Dataset) -> tuple[nn.Module, Training]:
    """Return the same training without any analysis."""
    return fit(dataset)


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_leaves_json_and_changes_nothing(
    name: str, dataset: Dataset, alone: tuple[nn.Module, Training]
) -> None:
    """The weights and curves are those of a training that nobody looked at, dropout included."""
    analysis = ANALYSES[name]()
    model, training = fit(dataset, analysis)
    assert training.curve == alone[1].curve
    for mine, theirs in zip(model.parameters(), alone[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(model.buffers(), alone[0].buffers(), strict=True):
        assert torch.equal(mine, theirs)
    found = analysis.artifact()
    assert found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_says_what_it_is(name: str) -> None:
    """A docstring, and options with defaults within their bounds."""
    assert (ANALYSES[name].__doc__ or "").strip()
    for option in options(ANALYSES[name]).values():
        assert option.mistake(option.default) is None


def test_every_step_has_its_loss(dataset: Dataset) -> None:
    """The mean over an epoch's steps is the epoch's training loss."""
    analysis = ANALYSES["step_losses"]()
    _, training = fit(dataset, analysis)
    found = analysis.artifact()
    assert len(found["loss"]) == len(found["learning_rate"]) == STEPS
    for epoch, losses in zip(training.curve, np.split(np.array(found["loss"]), 2), strict=True):
        assert losses.mean() == pytest.approx(epoch["train/loss"], rel=1e-6)
    rates = 3e-3 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS)) / 2
    assert found["learning_rate"] == pytest.approx(rates)


def test_filters_are_the_first_layers_weights(dataset: Dataset) -> None:
    """Of the best epoch, which the model holds at the end."""
    analysis = ANALYSES["filters"]()
    model, _ = fit(dataset, analysis)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    torch.testing.assert_close(torch.tensor(analysis.artifact()["filters"]), first.weight.detach())


def test_a_dense_first_layer_is_shown_as_images(dataset: Dataset) -> None:
    """Where it reads the whole image, and only there."""
    for inputs, count in ((3 * 16 * 16, 5), (7, 0)):
        analysis = ANALYSES["filters"]()
        dense = nn.Linear(inputs, 5)
        analysis.on_end(dense, dataset, Training((), 0, 0.0, "float32", np.zeros((5, 5), int)))
        filters = np.array(analysis.artifact()["filters"])
        assert len(filters) == count
        if count:
            assert filters.shape == (5, 3, 16, 16)
            assert np.allclose(filters.reshape(5, -1), dense.weight.detach().numpy())


def test_the_confusion_is_the_validation_splits(dataset: Dataset) -> None:
    """Its sum is the split, its diagonal the best accuracy, its rows the labels."""
    analysis = ANALYSES["confusion"]()
    model, training = fit(dataset, analysis)
    counts = np.array(analysis.artifact()["confusion"])
    assert counts.sum() == len(dataset.validation)
    assert counts.trace() / counts.sum() == training.best_accuracy
    assert counts.sum(1).tolist() == torch.bincount(dataset.validation.labels).tolist()
    predicted = predictions(model, dataset, dataset.validation)
    assert counts.sum(0).tolist() == torch.bincount(predicted, minlength=4).tolist()


class Quadratic(nn.Module):
    """Gives its weight to whoever judges it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the weight, whatever the inputs."""
        return self.weight + 0 * inputs.sum()


def test_the_landscape_of_a_quadratic_is_known_exactly() -> None:
    """The gradient of f(w) = w A w / 2 is g = A w.

    At w - l g, with l = rate x length, f is (w - l g) A (w - l g) / 2, the gradient has changed
    by l |A g|, and the smoothness is |A g| / |g|.
    """
    hessian = torch.diag(torch.tensor([1.0, 4.0, 9.0]))
    weight = torch.tensor([1.0, -1.0, 0.5])
    model = Quadratic(weight)
    inputs, labels = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    loss = model(inputs) @ hessian @ model(inputs) / 2
    loss.backward()
    gradient = hessian @ weight
    rate = 0.05
    analysis = Landscape(every=2, lengths=4, shortest=1.0, longest=4.0)
    for number in (1, 2, 3):
        analysis.on_step(
            Step(number, 1, loss.detach(), rate, model, inputs, labels,
                 lambda logits, _: logits @ hessian @ logits / 2)
        )  # fmt: skip
    found = analysis.artifact()
    assert found["step"] == [1, 3]
    points = [weight - rate * length * gradient for length in (1, 2, 3, 4)]
    losses = [float(point @ hessian @ point / 2) for point in points]
    change = float((hessian @ gradient).norm())
    assert found["loss_min"] == pytest.approx([min(losses)] * 2, rel=1e-5)
    assert found["loss_max"] == pytest.approx([max(losses)] * 2, rel=1e-5)
    assert found["gradient_change_min"] == pytest.approx([1 * rate * change] * 2, rel=1e-5)
    assert found["gradient_change_max"] == pytest.approx([4 * rate * change] * 2, rel=1e-5)
    assert found["smoothness"] == pytest.approx([change / float(gradient.norm())] * 2, rel=1e-5)
    assert torch.equal(model.weight.detach(), weight)


def test_statistics_are_those_of_each_layer(dataset: Dataset) -> None:
    """Every leaf layer and every weight; a batch norm's output has mean 0 and deviation 1."""
    analysis = ANALYSES["layer_statistics"](every=6)
    model, _ = fit(dataset, analysis)
    found = analysis.artifact()
    assert found["step"] == [1, 7, 13]
    leaves = {name for name, layer in model.named_modules() if not list(layer.children())}
    assert set(found["activations"]) == leaves
    assert set(found["gradients"]) == {n for n, p in model.named_parameters() if p.ndim > 1}
    mean, deviation = found["activations"]["0.1"][0]
    assert mean == pytest.approx(0, abs=1e-5)
    assert deviation == pytest.approx(1, rel=1e-3)
    assert all(len(values) == 3 for values in found["gradients"].values())
    assert not any(layer._forward_hooks for layer in model.modules())


def test_the_regions_of_circles_are_rings() -> None:
    """A trained network takes the middle for the inner circle and the rim for the outer one."""
    dataset = data.load("circles")
    torch.manual_seed(0)
    model = MODELS["mlp"]((2, 1, 1), 2, width=32)
    recipe = Recipe(**bind(Recipe, {"epochs": 10, "learning_rate": 0.02}))
    analysis = ANALYSES["regions"](grid=31)
    device = torch.device("cpu")
    result = train(model, dataset, recipe, device=device, seed=0, observers=[analysis])
    assert result.best_accuracy > 0.9
    found = np.array(analysis.artifact()["classes"])
    assert found.shape == (31, 31)
    across = np.hypot(*(np.mgrid[:31, :31] / 10 - 1.5))  # coordinates from -1.5 to 1.5
    assert (found[across < 0.4] == 1).mean() > 0.9
    assert (found[(across > 1.1) & (across < 1.4)] == 0).mean() > 0.9
    # Rows are the second feature: the images of the middle row have the second coordinate 0.
    pixels = torch.tensor([[[[255.0]], [[127.0]]]]).to(torch.uint8)
    split = Split(pixels, torch.zeros(1))
    assert int(predictions(model, dataset, split)) == found[15, 30]


def test_data_with_more_features_have_no_plane(dataset: Dataset) -> None:
    """Nothing is drawn for images."""
    analysis = ANALYSES["regions"]()
    fit(dataset, analysis)
    assert analysis.artifact() == {"classes": []}
