"""The keyword-only signature is the schema."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Lt

from edgebench.errors import EdgebenchError
from edgebench.registry import Registry, options


def factory(
    shape: int,
    *,
    width: Annotated[int, Ge(1)] = 64,
    rate: Annotated[float, Ge(0.0), Lt(1.0)] = 0.5,
    norm: Literal["batch", "none"] = "batch",
    bias: bool = True,
) -> int:
    """Stand for any factory: one positional parameter and four options."""
    return shape * width * len(norm) * int(rate if bias else 1)


def test_options_are_the_keyword_only_parameters() -> None:
    """Positional parameters are no options."""
    assert {name: option.default for name, option in options(factory).items()} == {
        "width": 64,
        "rate": 0.5,
        "norm": "batch",
        "bias": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", 1, None),
        ("rate", 0, None),
        ("bias", False, None),
        ("norm", "none", None),
        ("width", 0, "0 should be greater than or equal to 1; the nearest valid value is 1"),
        ("width", True, "True should be a valid integer"),
        ("width", 1.5, "1.5 should be a valid integer"),
        ("width", "32", "'32' should be a valid integer"),
        ("rate", 1.0, "1.0 should be less than 1"),
        ("rate", float("nan"), "nan should be a finite number"),
        ("bias", 1, "1 should be a valid boolean"),
        (
            "norm",
            "bacth",
            "'bacth' should be 'batch' or 'none'; the nearest valid value is 'batch'",
        ),
    ],
)
def test_a_value_is_judged_by_type_and_bounds(name: str, value: object, message: str) -> None:
    """The message names the value, the rule and the nearest valid choice."""
    assert options(factory)[name].mistake(value) == message


def test_an_unknown_name_is_the_users_mistake() -> None:
    """A registry answers a wrong name with the nearest right one."""
    registry: Registry[object] = Registry("thing")
    registry.register(factory)
    with pytest.raises(EdgebenchError, match=r"^unknown thing 'factor'; did you mean 'factory'\?$"):
        registry["factor"]


def test_a_name_is_taken_once() -> None:
    """Two members of one name would hide each other."""
    registry: Registry[object] = Registry("thing")
    registry.add("a", 1)
    with pytest.raises(ValueError, match="the thing 'a' is registered twice"):
        registry.add("a", 2)
