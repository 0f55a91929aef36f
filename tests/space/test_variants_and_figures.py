"""Variants and figures of a sweep file: what they make, and every mistake named, literally."""

from __future__ import annotations

from typing import Any

import pytest

from edgebench.errors import EdgebenchError
from edgebench.record import FigureAsked
from edgebench.space import Sweep, build

BASE: dict[str, Any] = {
    "name": "try",
    "method": "grid",
    "metrics": [{"name": "val/accuracy_best", "goal": "maximize"}],
    "analysis": ["step_losses"],
    "parameters": {
        "model.family": "gap",
        "model.width": {"values": [8, 16]},
        "train.optimizer": "sgd",
        "train.momentum": {"value": 0.5, "when": {"train.optimizer": "sgd"}},
    },
}


def made(**changed: Any) -> Sweep:
    """Build the sweep with some parts changed."""
    return build({**BASE, **changed})


def mistakes(**changed: Any) -> list[str]:
    """Return what is said of the sweep with some parts changed."""
    with pytest.raises(EdgebenchError) as caught:
        made(**changed)
    return list(caught.value.mistakes)


def test_a_variant_changes_several_axes_and_leaves_the_others() -> None:
    """Each is crossed with what it does not set; conditions follow what it chooses."""
    sweep = made(variants={"base": {}, "adam": {"train.optimizer": "adam", "model.width": 32}})
    found = sweep.configurations()
    assert found is not None
    common = {"model.family": "gap"}
    descent = {"variant": "base", **common, "train.optimizer": "sgd", "train.momentum": 0.5}
    assert [dict(config.params) for config in found] == [
        {**descent, "model.width": 8},
        {**descent, "model.width": 16},
        {"variant": "adam", **common, "model.width": 32, "train.optimizer": "adam"},
    ]
    assert [config.label(sweep.varied) for config in found] == [
        "gap-base-w8",
        "gap-base-w16",
        "gap-adam-w32",
    ]


def test_the_name_of_a_variant_is_no_part_of_a_candidates_identity() -> None:
    """What is trained decides: two variants that say the same are one candidate."""
    plain = made().configurations()
    renamed = made(variants={"one": {}, "same": {"train.optimizer": "sgd"}}).configurations()
    assert plain is not None
    assert renamed is not None
    assert [config.key for config in renamed] == [config.key for config in plain]


def test_the_mistakes_of_variants_are_named_at_once() -> None:
    """Each is checked as the sweep that it makes."""
    variants = {
        "two words": {},
        "list": [1],
        "range": {"model.width": {"min": 1, "max": 2}},
        "typo": {"model.widht": 8},
        "lacks": {"model.family": "vgg", "train.momentum": 2.0},
    }
    assert mistakes(variants=variants) == [
        "variants.two words: the name should be letters, digits, '-', '_' and '.'",
        "variants.list: write the parameters that it changes, as in {model.width: 9}",
        "variants.range.model.width: should be one number or text, true or false",
        (
            "variants.typo: parameters.model.widht: unknown option of model 'widht'; did you mean "
            "'width'?"
        ),
        "variants.lacks: parameters.train.momentum: 2.0 should be less than 1",
    ]
    assert mistakes(variants=[]) == [
        "variants: write names and changes, as in {base: {}, wide: {model.width: 9}}"
    ]


def test_figures_are_read_with_the_file() -> None:
    """Common keys by name, the others as options of the kind."""
    figure = {"name": "by-width", "kind": "line", "x": "model.width", "y": "val/accuracy_best"}
    sweep = made(figures=[{**figure, "log": "x", "where": {"model.width": 8}}])
    options = {"x": "model.width", "y": "val/accuracy_best", "log": "x"}
    assert sweep.figures == (FigureAsked("by-width", "line", "", {"model.width": (8,)}, options),)
    assert "figures" not in sweep.fingerprint  # a study may be drawn otherwise


def test_the_mistakes_of_figures_are_named_at_once() -> None:
    """Names, kinds, options, axes, metrics, series, values: with the nearest that is known."""
    figures: list[Any] = [
        "accuracy",
        {"kind": "lines"},
        {"name": "a", "kind": "line", "x": "model.widht", "bye": 1},
        {"name": "a", "kind": "curves", "y": "val/acuracy", "log": "z", "smooth": 0},
        {"name": "b", "kind": "band", "y": "landscape.loss_min", "where": {"model.width": 9}},
        {"name": "c", "kind": "band", "y": "step_losses.los", "where": {"model.depth": 2}},
    ]
    assert mistakes(figures=figures) == [
        "figures[0]: write {name: ..., kind: ..., ...}",
        "figures[1].name: is missing; write letters, digits, '-' and '_': a file is named by it",
        "figures[1].kind: unknown kind of figure 'lines'; did you mean 'line'?",
        "figures[2].bye: unknown key 'bye'; did you mean 'by'?",
        "figures[2].x: unknown axis 'model.widht'; did you mean 'model.width'?",
        "figures[2].y: is missing; 'line' needs it",
        "figures[3].y: unknown series 'val/acuracy'; did you mean 'val/accuracy'?",
        "figures[3].log: 'z' should be 'none', 'x', 'y' or 'xy'",
        "figures[3].smooth: 0 should be greater than or equal to 1; the nearest valid value is 1",
        "figures[4].where.model.width: '9' is no value of that axis; its values: 8, 16",
        "figures[4].y: 'landscape.loss_min' needs the analysis; add 'landscape' to 'analysis'",
        "figures[5].where.model.depth: unknown axis 'model.depth'; did you mean 'model.width'?",
        "figures[5].y: unknown series 'step_losses.los'; did you mean 'step_losses.loss'?",
    ]
    figure = {"name": "a", "kind": "curves", "y": "val/accuracy"}
    assert mistakes(figures=[figure, figure]) == ["figures[1].name: 'a' stands twice"]


RANGE: dict[str, Any] = {
    "distribution": "log_uniform_values",
    "min": 1e-5,
    "max": 1e-1,
    "around": {"study": "coarse", "factor": 4},
}


def test_an_axis_that_the_sweep_has_not_is_told_from_one_that_is_none() -> None:
    """It may be added; a misspelled one has the nearest."""
    figure = {"name": "a", "kind": "table", "by": "train.batch_size", "y": "val/accuracy_best"}
    [said] = mistakes(figures=[figure])
    assert said.startswith(
        "figures[0].by: 'train.batch_size' is no axis of this sweep; add it to parameters, or name "
        "one of: "
    )


def test_an_option_of_another_choice_says_whose_it_is() -> None:
    """The optimizer that was chosen has no momentum; those that have it are named."""
    chosen = {"model.family": "gap", "train.optimizer": "adamw", "train.momentum": 0.9}
    [said] = mistakes(parameters=chosen)
    assert said == (
        "parameters.train.momentum: no chosen train.optimizer has the option 'momentum'; these "
        "have: sgd, muon, rmsprop"
    )


def narrowed(best: float | None, **changed: Any) -> tuple[float, float]:
    """Return the range of an axis around the best value of another study."""
    axes = {"model.family": "gap", "train.l2": {**RANGE, **changed}}
    sweep = made(method="random", run_cap=3, parameters=axes)
    [axis] = [one for one in sweep.narrowed(lambda *_: best).axes if one.name == "train.l2"]
    return axis.low, axis.high


def test_a_range_is_narrowed_around_another_studys_best() -> None:
    """From the best divided by the factor to the best times it, and never beyond its own ends."""
    assert narrowed(1e-3) == pytest.approx((2.5e-4, 4e-3))
    assert narrowed(2e-5) == pytest.approx((1e-5, 8e-5))
    asked: list[tuple[str, str]] = []
    sweep = made(method="random", run_cap=3, parameters={"model.family": "gap", "train.l2": RANGE})
    sweep.narrowed(lambda study, axis: asked.append((study, axis)) or 1e-3)
    assert asked == [("coarse", "train.l2")]


def test_a_best_value_that_cannot_be_used_is_named() -> None:
    """The axis is not in the other study, or its best lies elsewhere."""
    with pytest.raises(EdgebenchError) as caught:
        narrowed(None)
    message = "parameters.train.l2.around: the best trial of 'coarse' has no number there"
    assert str(caught.value) == message
    with pytest.raises(
        EdgebenchError, match=r"10\.0, the best of 'coarse', leaves nothing between"
    ):
        narrowed(10.0)


def test_the_mistakes_of_around_are_named_at_once() -> None:
    """It narrows a range, says of which study and by what."""
    axes = {
        "model.family": "gap",
        "model.width": {"values": [8, 16], "around": {"study": "coarse", "factor": 2}},
        "train.l2": {**RANGE, "around": {"stdy": "coarse", "factor": 1}},
    }
    assert mistakes(parameters=axes) == [
        "parameters.model.width.around: narrows a range; give min and max",
        "parameters.train.l2.around.stdy: unknown key 'stdy'; did you mean 'study'?",
        "parameters.train.l2.around.study: None should be the name of a study",
        "parameters.train.l2.around.factor: 1 should be a number above 1",
    ]
