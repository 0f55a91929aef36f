"""The recipes for several machines: they parse, and the commands in them exist."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from edgebench.cli import cli

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "deploy").glob("[a-z]*.*"))


def options_of(program: str, words: list[str]) -> set[str]:
    """Return the options that a command of edgebench or Ray has."""
    group = cli if program == "edgebench" else importlib.import_module("ray.scripts.scripts").cli
    command = group.get_command(click.Context(group), words[0])
    assert command is not None, (program, words[0])
    return {name for param in command.params for name in param.opts}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_commands_of_a_recipe_have_their_options(recipe: Path) -> None:
    """Each ``edgebench ...`` and ``ray start ...``, continued lines joined."""
    text = re.sub(r"\\\n#?\s*", "", recipe.read_text())
    found = re.findall(r"(?:^|\s)(edgebench|ray) ((?:sweep|start)\b[^\n]*)", text)
    if found and found[0][0] == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
    assert found
    for program, line in found:
        words = shlex.split(line, comments=True)
        asked = {word for word in words if word.startswith("--")}
        assert asked <= options_of(program, words), line


@pytest.mark.parametrize("recipe", [one for one in RECIPES if one.suffix == ".yaml"], ids=str)
def test_a_recipe_in_yaml_is_yaml(recipe: Path) -> None:
    """A mapping, with the image that deploy/Dockerfile builds."""
    content = YAML(typ="safe").load(recipe.read_text())
    assert isinstance(content, dict)
    assert "deploy/Dockerfile" in recipe.read_text()


def test_the_script_of_slurm_is_bash() -> None:
    """Bash can read it to its end."""
    subprocess.run(["bash", "-n", ROOT / "deploy" / "slurm.sh"], check=True)


def test_the_image_copies_what_an_installation_needs() -> None:
    """Whatever stands on the left of COPY is in the repository."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
