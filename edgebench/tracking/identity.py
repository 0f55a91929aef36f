"""Which data a study is about: what it holds by class, kept with the study and compared.

Trials on other images than those before them would be compared with them in one table and one
front. So a study goes on with the same images, classes and split, or not at all; where the folder
that it names holds something else by now, the mistake says what.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from edgebench.errors import EdgebenchError
from edgebench.record import Facts

NAMED = 5
"""Classes that a message names of each kind of change."""


def identity_of(facts: Facts, data_key: str) -> dict[str, Any]:
    """Return what a study's description keeps of its data, as JSON data.

    ``data_key`` says how they were split (`TrialConfig.data_key`): other options of the data may
    split the same images otherwise.
    """
    contents = {name: asdict(one) for name, one in facts.contents.items()}
    return {
        "digest": _digest(json.dumps(contents, sort_keys=True)),
        "split": {"of": _digest(data_key), "digest": facts.dataset_digest},
        "classes": {n: [one.training, one.test, one.digest] for n, one in facts.contents.items()},
    }


def without_classes(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an identity that has the same size however many classes there are."""
    return {**identity, "classes": {}}


def check_same_data(study: str, recorded: Mapping[str, Any], facts: Facts, data_key: str) -> None:
    """Compare a study's description with the data that it would go on with.

    Raises:
        EdgebenchError: They are others; the message says in what.
    """
    kept, now = recorded.get("data"), identity_of(facts, data_key)
    if not facts.contents:
        return
    if kept is None:  # recorded before identities were
        former = dict.fromkeys(recorded.get("classes", ()))
        changes = list(_classes(former, now["classes"])) if former else []
    elif kept["digest"] != now["digest"]:
        changes = list(_changes(kept["classes"], now["classes"]))
    elif kept["split"]["of"] == now["split"]["of"] and kept["split"] != now["split"]:
        changes = ["the same images are split otherwise than they were"]
    else:
        changes = []
    if changes:
        raise EdgebenchError(
            f"the data of '{study}' ('{facts.dataset}') have changed since its first trial: "
            f"{'; '.join(changes)}. Trials on both cannot be compared: restore the images, or give "
            f"the sweep another name with --set name={study}-2"
        )


def _changes(former: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Say what differs, classes first, then how many images, then their pixels."""
    if not former:  # too many classes to be kept by name
        yield "other images or classes"
        return
    yield from _classes(former, now)
    if list(former) != list(now):
        return
    counted = [
        f"class '{name}' has {_sizes(now[name])} images instead of {_sizes(former[name])}"
        for name in former
        if _sizes(former[name]) != _sizes(now[name])
    ]
    repainted = [
        f"'{name}'"
        for name in former
        if _sizes(former[name]) == _sizes(now[name]) and former[name] != now[name]
    ]
    if counted:
        yield ", ".join([*counted[:NAMED], *_rest(counted, "classes")])
    if repainted:
        shown = ", ".join(repainted[:NAMED])
        yield " ".join([f"other pixels in {shown}", *_rest(repainted, "classes")])


def _classes(former: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Say which classes came, went, or changed their places."""
    for verb, names in (
        ("new", [name for name in now if name not in former]),
        ("gone", [name for name in former if name not in now]),
    ):
        if names:
            shown = ", ".join(f"'{name}'" for name in names[:NAMED])
            yield " ".join([f"{verb} class {shown}", *_rest(names, "classes")])
    if set(former) == set(now) and list(former) != list(now):
        yield "the classes stand in another order"


def _sizes(entry: list[Any]) -> str:
    return f"{entry[0]} training and {entry[1]} test"


def _rest(names: list[str], of: str) -> list[str]:
    return [f"and {len(names) - NAMED:,} more {of}"] if len(names) > NAMED else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
