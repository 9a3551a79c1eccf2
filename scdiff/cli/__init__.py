"""The command ``scdiff``: the only package that prints or exits. A command is one function in one of its modules."""

from __future__ import annotations

import sys

import typer

# each module registers its commands, in the order of the help
# isort: off
from scdiff.cli import run, data, results, release, history, design  # noqa: F401
# isort: on

from scdiff.cli.app import app
from scdiff.errors import ScdiffError

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code.

    Parameters
    ----------
    arguments
        Words after ``scdiff``; those of the process where none are given.
    """
    try:
        app(args=arguments, prog_name="scdiff")
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except ScdiffError as error:
        typer.echo(f"scdiff: error: {error}", err=True)
        code = error.exit_code
    if arguments is None:
        sys.exit(code)
    return code
