"""The README is kept true: its commands, its map of the files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edgebench.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


def test_the_first_two_commands_set_up_and_test() -> None:
    """A script can pick them out: the first lines of the shell blocks."""
    assert SHELL[:2] == ["python3 develop.py quickstart", "python3 develop.py test"]


@pytest.mark.parametrize("line", [line for line in SHELL if "edgebench " in line])
def test_every_command_shown_exists(line: str) -> None:
    """No command is shown that the program does not have."""
    words = shlex.split(line)
    called = words[[word.endswith("edgebench") for word in words].index(True) + 1]
    assert called in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown(name: str) -> None:
    """A user finds each command in the README."""
    assert f"edgebench {name}" in README


def test_the_map_names_what_is_there() -> None:
    """Every module of the package and every top folder has a line, and every line a file."""
    [block] = re.findall(r"```text\n(edgebench/\n.*?)```", README, re.DOTALL)
    named = {match[1] for match in re.finditer(r"^  ([a-z0-9_]+(?:\.py|/))", block, re.MULTILINE)}
    package = ROOT / "edgebench"
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in package.iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
    assert named == there


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    """Links to files of the repository, from the pages at its root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / link).is_file(), link


def test_every_page_is_linked() -> None:
    """What stands in docs/ is found from the README."""
    for path in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{path.name})" in README


def test_a_newcomer_reads_it_in_five_minutes() -> None:
    """At 200 words a minute, tables, maps and commands counted."""
    assert (
        len(re.findall(r"\w[\w'-]*", re.sub(r"```text\n.*?```", "", README, flags=re.DOTALL)))
        < 1000
    )


@pytest.mark.parametrize("family", ["vgg", "gap"])
def test_the_footprints_are_what_the_command_prints(family: str) -> None:
    """The table's row is `edgebench profile FAMILY --softmax`, exactly or as it is rounded."""
    import edgebench
    from edgebench.units import Bytes

    [row] = re.findall(
        rf"^\| `edgebench profile {family} --softmax` \|(.*)\|$", README, re.MULTILINE
    )
    found = edgebench.profile(family, softmax=True)
    assert [cell.strip() for cell in row.split("|")] == [
        f"{found.macc:,}",
        f"{found.parameters:,}",
        f"{found.weights_bytes:,} B",
        Bytes(found.rom_bytes).text("decimal"),
        Bytes(found.ram_bytes).text("decimal"),
    ]


def test_every_sweep_is_named() -> None:
    """The shipped sweeps are in the page of the sweeps, to which the README leads."""
    assert "(sweeps/README.md)" in README
    page = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert f"`{path.name}`" in page
