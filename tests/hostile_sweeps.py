"""Writes sweep files that nobody should have written: seeded, one after another.

Each is a sound sweep after a few changes: values of other types, numbers without end, names that
are too long, keys that nobody knows, or text that is hardly YAML. `load_sweep` must give a sweep or
one list of mistakes for each.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2, 10**9, 2**63, 2**64, -(2**64), 10**99, 0.5, -0.0, 1e-9, 1e300,
    1e-300, "", " ", "x", "no", "x" * 251, "x" * 5000, "../..", "a/b", "a b", "é", "\u202e", "\n",
    "null", "model.width", "vgg", "batch", "val/accuracy_best", "test/accuracy", [], [[]], {},
    {"a": 1}, {"": ""}, [None], [1, "a", None], {"values": []}, {"values": [1, 2, 2]},
    {"min": 1, "max": 2}, {"min": 2, "max": 1}, {"min": 0, "max": 10**9},
    {"min": 0, "max": 1, "q": 1e-9}, {"min": 0, "max": 1, "q": None},
    {"min": 1, "max": 10**400, "q": 1}, {"min": 1e308, "max": -1.0},
    {"min": -1.7e308, "max": 1.7e308}, {"min": 1, "max": 1e308, "q": 1e-308},
    {"min": 0, "max": 8}, {"distribution": "log_uniform_values", "min": 1e-300, "max": 1},
    {"value": {"a": 1}}, {"min": 1, "max": 9, "around": {"study": "x", "factor": 2}},
    {"min": 1, "max": 9, "around": 1}, {"value": 1, "when": {"model.family": "vgg"}},
    {"value": 1, "when": {"model.family": [[]]}}, {"value": 1, "when": {"nobody": None}},
    {"values": list(range(2000))}, {"value": 1, "when": 3}, {"values": [True, 1, 1.0]},
    {"values": [{}, []]}, {"min": True, "max": 3},
)  # fmt: skip
KEYS = (
    "name", "dataset", "method", "run_cap", "seed", "early_stop", "analysis", "test", "metrics",
    "budget", "parameters", "variants", "figures", "export", "", "x" * 300, "nobody", "é",
    "model", "min", "max", "q", "values", "value", "when", "distribution", "around", "goal",
    "kind", "x", "y", "by", "where", "title", "log", "target", "dtype", "rom_bytes",
    "rom_bytes_int8", "latency_ms", "int8", "model.family", "model.width", "model.norm",
    "train.epochs", "train.seed", "train.optimizer", "train.momentum", "data.train_images",
    "data.crop", "data.skip_broken", "test.x", "model.", ".", "repeats", "warm_start", "stop_when",
    "hypervolume_gain", "trials",
)  # fmt: skip


def sound() -> dict[str, Any]:
    """Return a sweep with every section."""
    return {
        "name": "sound",
        "dataset": "synthetic",
        "method": "tpe",
        "run_cap": 9,
        "seed": 3,
        "early_stop": "front",
        "analysis": ["filters", "confusion"],
        "test": "front",
        "repeats": 2,
        "warm_start": ["other"],
        "stop_when": {"hypervolume_gain": "0.5 %", "trials": 5},
        "metrics": [
            {"name": "val/accuracy_best", "goal": "maximize"},
            {"name": "footprint/rom_bytes", "goal": "minimize"},
        ],
        "budget": {"target": "stm32f746g-disco", "dtype": "int8", "rom_bytes": 1_000_000},
        "parameters": {
            "model.family": {"values": ["gap", "mlp"]},
            "model.norm": {"values": ["none", "batch"], "when": {"model.family": "gap"}},
            "train.epochs": {"min": 1, "max": 9},
            "train.learning_rate": {"min": 1e-4, "max": 1e-1, "distribution": "log_uniform_values"},
            "train.seed": {"values": [0, 1]},
            "data.train_images": 100,
        },
        "variants": {"base": {}, "long": {"train.weight_decay": 0.1}},
        "figures": [
            {"name": "curves", "kind": "curves", "y": "val/accuracy", "by": "model.family"},
            {"name": "line", "kind": "line", "x": "train.epochs", "y": "val/accuracy_best"},
        ],
        "export": {"int8": True},
    }


def _containers(node: Any) -> list[Any]:
    """Return every mapping and list of a tree, the root first."""
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = [node] if isinstance(node, dict | list) else []
    return own + [found for one in inside for found in _containers(one)]


def _changed(content: dict[str, Any], chance: random.Random) -> None:
    """Replace, remove, add or move one value somewhere."""
    holder = chance.choice(_containers(content))
    value = copy.deepcopy(chance.choice(VALUES))
    places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    change = chance.randrange(5)
    if change == 0 and places:
        del holder[chance.choice(places)]
    elif change == 1 and isinstance(holder, dict):
        holder[chance.choice(KEYS)] = value
    elif change == 2 and isinstance(holder, dict) and places:
        holder[chance.choice(KEYS)] = holder.pop(chance.choice(places))
    elif change == 3 and isinstance(holder, list):
        holder += [value] * chance.choice((1, 2, 30))
    elif places:
        holder[chance.choice(places)] = value


def _nested(chance: random.Random) -> str:
    depth = chance.choice((40, 60, 2_000, 100_000))
    opening = chance.choice(("[", "{a: ", "- ", "? "))
    return opening * depth + ("]" if opening == "[" else "}" if opening[0] == "{" else "") * depth


def _aliases(chance: random.Random) -> str:
    width, levels = chance.choice(((9, 9), (2, 40), (30, 6)))
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def _itself(chance: random.Random) -> str:
    return chance.choice(
        ("a: &a [*a]", "a: &a {b: *a}", "&a a: *a", "<<: *nobody", "a: &a {<<: *a}")
    )


def _scalar(chance: random.Random) -> str:
    value = chance.choice((
        "!!int abc", "!!float x", "!!python/object/apply:os.system [ls]", "!!binary ====", "!x 1",
        "9" * 5_000, "0x" + "f" * 5_000, "1e" + "9" * 500, "-.inf", ".nan", "\0", "\ud7ff", "\x07",
        '"\\U00110000"', '"\\ud800"', "2001-13-45", "0o9", "1_000", "12:30:45", "!!set {a, b}",
        "!!timestamp 1", "'", '"', "|", ">-", "&", "*", "%", "@", "`", "!!null x", "!!bool maybe",
    ))  # fmt: skip
    key = chance.choice(("run_cap", "seed", "name", "budget", "parameters", "nobody"))
    return f"{key}: {value}\n"


def _many(chance: random.Random) -> str:
    count = chance.choice((300, 3_000))
    line = chance.choice(("model.x{n}: 1", "nobody{n}: 1", "train.y{n}: {{values: [1, 2]}}"))
    axes = "\n".join("  " + line.format(n=n) for n in range(count))
    where = chance.choice(("parameters", "variants", "budget", "export"))
    return f"name: many\n{where}:\n{axes}\n"


WHOLE: Sequence[Callable[[random.Random], str]] = (_nested, _aliases, _itself, _scalar, _many)


def hostile(seed: int) -> bytes:
    """Return the bytes of one sweep file."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(WHOLE)(chance).encode("utf-8", "surrogatepass")
    content = sound()
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        _changed(content, chance)
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1)))
    if kind < 0.2:
        text = f"{chance.choice(WHOLE)(chance)}\n{text}"
    found = text.encode("utf-8", "surrogatepass")
    return _bytes_changed(found, chance) if kind > 0.9 else found


def _bytes_changed(found: bytes, chance: random.Random) -> bytes:
    changed = bytearray(found)
    for _ in range(chance.randint(1, 6)):
        changed[chance.randrange(len(changed))] = chance.choice(b"\0\n\t:-[]{}&*!'\"\xff\xc3 0")
    return bytes(changed[: chance.randrange(1, len(changed))] if chance.random() < 0.3 else changed)
