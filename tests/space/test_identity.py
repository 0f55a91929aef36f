"""Identity: what makes a candidate this one, and what must never change a recorded key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge

from edgebench.models import MODELS
from edgebench.registry import Original
from edgebench.space import TrialConfig, schema
from edgebench.space.candidates import KEY_VERSION

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "keys.json").read_text(encoding="utf-8")
)
"""Candidates with the keys that studies are recorded under. Add to them; never change one."""


@pytest.mark.parametrize("recorded", GOLDEN, ids=lambda recorded: recorded["key"])
def test_recorded_keys_stay(recorded: dict[str, Any]) -> None:
    """A new option with its old behaviour as default changes none of them.

    Where this fails an option's default was changed (mark the old one with `Original`), an option
    was renamed, or the same choices train something else (raise `KEY_VERSION`).
    """
    assert TrialConfig(**recorded["config"]).key == recorded["key"]


def test_keys_tell_all_of_them_apart() -> None:
    """Twelve candidates, twelve keys, of this version."""
    keys = {recorded["key"] for recorded in GOLDEN}
    assert len(keys) == len(GOLDEN) == 12
    assert {key.partition("-")[0] for key in keys} == {str(KEY_VERSION)}


@pytest.mark.parametrize("recorded", GOLDEN, ids=lambda recorded: recorded["key"])
def test_a_candidate_with_everything_said_is_the_same(recorded: dict[str, Any]) -> None:
    """What the record keeps is the candidate, whatever a default becomes later."""
    config = TrialConfig(**recorded["config"])
    said = config.resolved()
    assert len(said.params) > len(config.params)
    assert said.key == config.key
    before, after = (schema.values_of(one.params) for one in (config, said))
    assert {n: v for n, v in after.items() if n != schema.SEED} == {
        n: v for n, v in before.items() if n != schema.SEED
    }
    assert said.resolved() == said
    assert TrialConfig(**json.loads(json.dumps(said.as_json()))) == said


@contextmanager
def _train_options(**fields: tuple[Any, Any]) -> Iterator[None]:
    """Let ``train.*`` have further options, each a type and a default, or others in their place."""
    base = schema.SECTIONS["train"]
    assert isinstance(base, type)
    made = make_dataclass(
        "Changed", [(n, kind, default) for n, (kind, default) in fields.items()],
        bases=(base,), frozen=True, kw_only=True,
    )  # fmt: skip
    sections = dict(schema.SECTIONS)
    try:
        schema.SECTIONS = sections | {"train": made}
        schema.places.cache_clear()
        yield
    finally:
        schema.SECTIONS = sections
        schema.places.cache_clear()


def key(**params: Any) -> str:
    """Return the key of a fresh configuration: a key is kept once it was asked for."""
    axes = {"model.family": "gap"} | {n.replace("__", "."): v for n, v in params.items()}
    return TrialConfig(axes, "digits").key


def test_a_new_option_changes_no_key_until_it_is_used() -> None:
    """Its default is the behaviour that was there before it."""
    before = key(), key(train__epochs=3)
    with _train_options(clip_gradients=(Annotated[int, Ge(0)], 0)):
        assert (key(), key(train__epochs=3)) == before
        assert key(train__clip_gradients=0) == before[0]
        assert key(train__clip_gradients=1) not in before


def test_a_changed_default_is_another_candidate_and_the_old_one_keeps_its_key() -> None:
    """Unsaid is the new default; the old one, said, is what was recorded when it went unsaid."""
    old, other = key(), key(train__batch_size=64)
    with _train_options(batch_size=(Annotated[int, Ge(2), Original(32)], 64)):
        assert key() == other
        assert key(train__batch_size=32) == old


def test_numbers_are_compared_as_numbers() -> None:
    """1 and 1.0 are one rate; a truth value is no number."""
    assert key(train__learning_rate=1) == key(train__learning_rate=1.0)
    assert key(train__weight_decay=0) == key(train__weight_decay=0.0)
    assert schema.explicit({"model.family": "gap", "train.epochs": True})["train.epochs"] is True


def test_an_option_of_a_member_that_is_not_chosen_is_no_part() -> None:
    """What adamw's decay would be makes no other candidate of one trained by sgd."""
    sgd = schema.explicit({"model.family": "gap", "train.optimizer": "sgd"})
    assert set(sgd) == {"model.family", "train.optimizer"}
    assert key(train__optimizer="sgd") != key()


def test_a_seed_is_a_part_however_it_is_given() -> None:
    """The sweep's, or an axis that overrides it."""
    by_sweep = TrialConfig({"model.family": "gap"}, "digits", base_seed=3)
    by_axis = TrialConfig({"model.family": "gap", "train.seed": 3}, "digits")
    assert by_sweep.seed == by_axis.seed == 3
    assert by_sweep.key == by_axis.key == by_axis.with_seed(3).key
    assert by_axis.with_seed(4).key != by_axis.key


@pytest.mark.parametrize("family", MODELS)
def test_every_family_has_a_key_of_its_own(family: str) -> None:
    """At its defaults, and with any option said to be its default."""
    config = TrialConfig({"model.family": family}, "digits")
    assert config.key == config.resolved().key
    others = {TrialConfig({"model.family": name}, "digits").key for name in MODELS}
    assert len(others) == len(MODELS)
