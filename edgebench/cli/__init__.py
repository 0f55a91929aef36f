"""The command line: parses, prints and exits; nobody else does.

A command is one file of this folder that defines ``command``; the first line of its docstring is
its short help. Commands are imported only when they are called, so that help answers at once.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from edgebench.errors import EdgebenchError, redacted, unknown

COMMANDS = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
)


class LazyCommands(click.Group):
    """A group whose commands are the modules of this folder, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return its ``command``."""
        if cmd_name not in COMMANDS:
            raise click.UsageError(unknown("command", cmd_name, COMMANDS), ctx)
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - a module without it is our fault
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the short helps, read from the files without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short_help(name)) for name in COMMANDS])


def _short_help(name: str) -> str:
    with Path(__file__).with_name(f"{name}.py").open(encoding="utf-8") as source:
        return source.readline().strip().strip('"')


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgebench")
def cli() -> None:
    """Find the best image classifier that fits an edge device."""


BRIEF = frozenset({"fit", "models", "options", "profile", "targets"})
"""Commands that answer and end: what they make is small, what they import is not."""


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage until the end, nor what the modules hold when the interpreter ends.

    Importing PyTorch makes 280,000 objects that all stay; to look through them again and again,
    and a last time at the end, took a third of ``edgebench profile FAMILY``.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """Run the command line; exit 0 when done, 1 on a failed check, 2 on the user's mistake."""
    sys.excepthook = _show_fault
    brief = sys.argv[1:2] and sys.argv[1] in BRIEF
    with _without_collections() if brief else contextlib.nullcontext():
        _run()


def _run() -> None:
    try:
        status: Any = cli.main(standalone_mode=False)
    except EdgebenchError as error:
        lines = "\n".join(f"error: {mistake}" for mistake in error.mistakes)
        click.echo(redacted(lines), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "edgebench"):
            raise  # our own fault
        click.echo(
            f"error: this command needs the package '{package}', which is not installed: pip "
            "install 'edgebench[search]' brings everything that trains, searches and records",
            err=True,
        )
        sys.exit(2)
    except BrokenPipeError:  # whoever reads the output, as 'head' does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        from edgebench.cli._machine import refusal

        line = refusal(error)
        if line is None:
            raise  # our own fault
        click.echo(f"error: {line}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


def _show_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show a fault of our own with its traceback, and no password that may stand in it."""
    import traceback

    click.echo(redacted("".join(traceback.format_exception(kind, error, trace))), err=True)
