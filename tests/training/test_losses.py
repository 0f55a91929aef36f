"""Contracts that every registered loss keeps; a new one is under test by existing."""

from __future__ import annotations

import math

import pytest
import torch

from edgebench.training import LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_numeric_ones(name: str) -> None:
    """PyTorch's gradcheck in double precision, away from kinks."""
    logits = torch.randn(5, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 3, 1])
    loss = LOSSES[name]
    assert torch.autograd.gradcheck(lambda one: loss(one, labels), logits.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_each_image_has_its_cost(name: str) -> None:
    """Whatever the others are, and lower where the right class has the higher logit."""
    generator = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(6, 3, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = LOSSES[name]
    whole = loss(logits, labels)
    alone = [loss(logits[n : n + 1], labels[n : n + 1]) for n in range(6)]
    assert whole.shape == (6,)
    torch.testing.assert_close(whole, torch.cat(alone))
    right = torch.nn.functional.one_hot(labels, 3) * 4.0
    assert bool((loss(right, labels) < loss(-right, labels)).all())
    assert float(loss(right, labels).min()) >= 0


def test_cross_entropy_of_guessing() -> None:
    """Equal logits cost ln(classes), smoothed or not; a smoothed target by hand."""
    logits, labels = torch.zeros(2, 10), torch.tensor([3, 4])
    for smoothing in (0.0, 0.1):
        loss = LOSSES["cross_entropy"](logits, labels, label_smoothing=smoothing)
        assert loss.tolist() == pytest.approx([math.log(10)] * 2)
    one = LOSSES["cross_entropy"](
        torch.tensor([[1.0, 0.0]]), torch.tensor([0]), label_smoothing=0.2
    )
    assert float(one) == pytest.approx(math.log(1 + math.e) - 0.9)  # 0.9 x 1 + 0.1 x 0


def test_the_other_losses_by_hand() -> None:
    """Probabilities 0.75 and 0.25: the label is the first class."""
    logits, labels = torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])
    assert float(LOSSES["mse"](logits, labels)) == pytest.approx(0.25**2 + 0.25**2)
    # max(0, 2 - ln 3) over one other class, divided by two classes.
    margin = LOSSES["multi_margin"](logits, labels, margin=2.0)
    assert float(margin) == pytest.approx((2 - math.log(3)) / 2)
    for gamma in (0.0, 2.0):
        loss = LOSSES["focal"](logits, labels, focal_gamma=gamma)
        assert float(loss) == pytest.approx(-(0.25**gamma) * math.log(0.75))


@pytest.mark.parametrize("name", LOSSES)
def test_a_sure_answer_has_a_finite_gradient(name: str) -> None:
    """Right or wrong by a hundred."""
    for sign in (1.0, -1.0):
        logits = torch.tensor([[sign * 100.0, 0.0]], requires_grad=True)
        LOSSES[name](logits, torch.tensor([0])).sum().backward()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
