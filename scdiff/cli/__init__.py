"""The command ``scdiff``. Only this package prints or exits; each command is one function."""

from __future__ import annotations

import sys

import typer

# Each module registers its commands; this is their order in the help.
# isort: off
from scdiff.cli import run, data, results, release, history, design, panel  # noqa: F401
# isort: on

from scdiff.cli.app import app
from scdiff.errors import ScdiffError

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    arguments
        Words after ``scdiff``. None means those of the process, which then exits with the code.
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
