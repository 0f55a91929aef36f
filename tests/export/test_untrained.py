"""The gate measures the graph that ships: the sketch's profile is the export's, row by row."""

from __future__ import annotations

import copy
import statistics
import time
from typing import Any

import pytest
import torch
from torch import nn

from edgebench.export import to_onnx
from edgebench.export.untrained import untrained_graph
from edgebench.footprint import measure
from edgebench.models import ACTIVATIONS, MODELS
from edgebench.profiling import Profile, profile
from edgebench.registry import bind, options

SHAPE = (3, 20, 16)
SMALL = {"width": 4, "hidden": 8, "blocks": 2}


def same(left: Profile, right: Profile) -> None:
    """Assert that two profiles agree in every row, tensor, constant and total."""
    assert left.tensors == right.tensors
    for one, other in zip(left.operators, right.operators, strict=True):
        assert (one.name, one.op, one.kind) == (other.name, other.op, other.kind)
        assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
        assert one.constants == other.constants
        assert (one.macs, one.parameters) == (other.macs, other.parameters)
        for key in ("kernel", "strides", "pads", "dilations", "group"):
            assert one.attributes.get(key) == other.attributes.get(key)
    assert (left.inputs, left.outputs) == (right.inputs, right.outputs)
    assert measure(left).as_dict() == measure(right).as_dict()
    assert measure(left).plan == measure(right).plan


def cases() -> list[Any]:
    """Return cases for every family in which each choice of each option appears at least once."""
    found = []
    for name, family in MODELS.items():
        known = options(family)
        base: dict[str, Any] = {key: value for key, value in SMALL.items() if key in known}
        choices = {o.name: o.choices() for o in known.values() if o.choices()}
        for index in range(max((len(all_) for all_ in choices.values()), default=1)):
            chosen = {key: all_[index % len(all_)] for key, all_ in choices.items()}
            if index % 2 and "convs_per_block" in known:
                chosen["convs_per_block"] = 2
            if index % 3 == 0 and "dropout" in known:
                chosen["dropout"] = 0.3
            label = ",".join(map(str, chosen.values()))
            found.append(pytest.param(name, base | chosen, index % 2 == 0, id=f"{name}-{label}"))
    return found


@pytest.mark.parametrize(("name", "chosen", "softmax"), cases())
def test_the_sketch_is_the_export(name: str, chosen: dict[str, Any], softmax: bool) -> None:
    """Every registered family, every choice of its options: names, shapes, constants, totals."""
    model = MODELS[name](SHAPE, 7, **bind(MODELS[name], chosen))
    drawn = profile(untrained_graph(model, SHAPE, softmax=softmax))
    same(drawn, profile(to_onnx(model, SHAPE, softmax=softmax)))


def test_every_activation_is_drawn() -> None:
    """The cases above cover each activation of the families."""
    drawn = {case.values[1].get("activation") for case in cases()}
    assert set(ACTIVATIONS) <= drawn


def test_the_default_networks_are_the_reference() -> None:
    """The reference's two networks, with and without the softmax."""
    for name, macc in (("vgg", 43_954_784), ("gap", 39_754_848)):
        model = MODELS[name]((3, 32, 32), 10)
        for softmax in (True, False):
            found = measure(profile(untrained_graph(model, (3, 32, 32), softmax=softmax)))
            assert found.macc == macc - (0 if softmax else 150)


class Residual(nn.Module):
    """A network with everything that the table has a rule for beyond the families."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, (3, 1), stride=(1, 2), padding=(1, 0), groups=8)
        self.short = nn.Conv2d(8, 8, 1, stride=(1, 2))
        self.pool = nn.AvgPool2d(2)
        self.last = nn.Linear(16 * 10 * 4, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        value = torch.relu(self.norm(self.first(images)))
        value = nn.functional.relu(self.second(value)) + self.short(value)
        value = self.pool(torch.cat([value, value], dim=1))
        logits: torch.Tensor = self.last(value.flatten(1))
        return logits


def test_branches_are_drawn() -> None:
    """Adds, concats, strides and groups agree in every figure; made-up names may differ."""
    model = Residual()
    drawn, exported = profile(untrained_graph(model, SHAPE)), profile(to_onnx(model, SHAPE))
    ours, theirs = measure(drawn), measure(exported)
    for name in ("macs", "macc", "parameters", "weights_bytes", "activations_bytes", "ram_bytes"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [row.macc for row in ours.layers] == [row.macc for row in theirs.layers]


class Foreign(nn.Module):
    """A network with a layer that no rule of the sketch covers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Flatten())
        self.head = nn.Linear(4 * 18 * 14, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.head(self.body(images))
        return logits


def test_what_has_no_rule_is_exported() -> None:
    """The fallback is the export itself: slower, and the same answer."""
    model = Foreign()
    same(profile(untrained_graph(model, SHAPE)), profile(to_onnx(model, SHAPE)))


def test_the_model_is_not_changed() -> None:
    """Weights, mode and structure stay; a training model stays in training."""
    model = MODELS["vgg"](SHAPE, 7, **SMALL).train()
    before = copy.deepcopy(model.state_dict())
    untrained_graph(model, SHAPE)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_candidate_is_measured_in_milliseconds() -> None:
    """Build aside, the gate takes under 100 ms a candidate, median after warm-up."""
    seconds = []
    for width in (16, 24, 32, 48, 64, 64, 64):
        model = MODELS["gap"]((3, 32, 32), 10, width=width)
        begin = time.perf_counter()
        measure(profile(untrained_graph(model, (3, 32, 32))))
        seconds.append(time.perf_counter() - begin)
    assert statistics.median(seconds[1:]) < 0.1
