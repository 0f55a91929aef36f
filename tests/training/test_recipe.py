"""The recipe's options: one flat name each, over all that a recipe may choose."""

from __future__ import annotations

import dataclasses

import pytest

from edgebench.errors import EdgebenchError
from edgebench.registry import active_options, bind, options, resolved
from edgebench.training import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES, Recipe

REGISTRIES = (OPTIMIZERS, SCHEDULES, LOSSES, AUGMENTATIONS)


def test_no_option_has_two_meanings() -> None:
    """No member of one registry has an option that the recipe or another registry has."""
    taken = dict.fromkeys(options(Recipe), "recipe")
    for registry in REGISTRIES:
        own = {name for member in registry.values() for name in options(member)}
        assert not own & taken.keys(), registry.kind
        taken |= dict.fromkeys(own, registry.kind)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_member_says_what_it_is(registry: object) -> None:
    """A docstring, and a default for each option: a name alone is a whole choice."""
    for name, member in registry.items():  # type: ignore[attr-defined]  # a registry
        assert (member.__doc__ or "").strip(), name
        assert all(option.mistake(option.default) is None for option in options(member).values())


def test_the_defaults_are_the_references() -> None:
    """15 epochs of AdamW at 1e-3, decay 1e-4, cosine, flip + padded crop where that suits."""
    assert resolved(Recipe) == {
        "epochs": 15,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "decayed_parameters": "unnormalized",
        "schedule": "cosine",
        "loss": "cross_entropy",
        "class_weights": "none",
        "sampling": "shuffled",
        "augmentation": "auto",
        "warmup": 0.0,
        "l1": 0.0,
        "l2": 0.0,
        "mixup": 0.0,
        "norm_statistics": "running",
        "ema_decay": 0.0,
        "kept_epoch": "best",
        "precision": "auto",
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
        "crop_padding": 4,
        "crop_border": "reflect",
    }


def test_an_option_comes_with_its_member() -> None:
    """Momentum is an option of descent, not of Adam; the mistake names the nearest."""
    recipe = Recipe(**bind(Recipe, {"optimizer": "sgd", "momentum": 0.5, "epochs": 3}))
    assert (recipe.epochs, str(recipe.optimizer)) == (3, "sgd")
    assert recipe.optimizer.options == {"momentum": 0.5}
    assert "momentum" not in active_options(Recipe, {})
    with pytest.raises(EdgebenchError) as caught:
        bind(Recipe, {"momentum": 0.5, "schedule": "cosinus"})
    assert str(caught.value).splitlines() == [
        "unknown option 'momentum'; known: " + ", ".join(sorted(active_options(Recipe, {}))),
        "schedule: unknown schedule 'cosinus'; did you mean 'cosine'?",
    ]


def test_a_recipe_is_a_value() -> None:
    """Frozen, equal by content, hashable."""
    one, same = (Recipe(**bind(Recipe, {"optimizer": "sgd"})) for _ in range(2))
    assert one == same != Recipe()
    assert hash(one) == hash(same)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.epochs = 1  # type: ignore[misc]  # that is the point
