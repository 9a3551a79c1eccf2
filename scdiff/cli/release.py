"""Commands of quality control over batches: ``release`` and ``validate``."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from scdiff.cli.app import Quiet, app
from scdiff.cli.register import check_history, check_results, register_decisions
from scdiff.errors import ConfigError, ScdiffError

__all__ = ["ERRORS_FROM", "release", "validate"]

ERRORS_FROM = 10
"""Offset of the exit codes of errors, because 0 to 3 are decisions: 12 options, 13 data."""

CHANGED = 4
"""Exit code of ``--verify`` if anything changed."""

CRASHED, INTERRUPTED = 70, 130
"""Exit codes of a fault of scdiff (usually 1, which is FAIL here) and of Ctrl-C."""


_USAGE: Any = typer.BadParameter.__mro__[1]
"""UsageError of the click version that typer uses."""


class _NoDecision:
    """End the command with its own exit code if scdiff itself has a fault.

    The traceback is printed as usual.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Print the traceback of an unexpected error, and exit."""
        expected = (ScdiffError, typer.Exit, *typer.BadParameter.__mro__[1:3])
        if isinstance(error, Exception) and not isinstance(error, expected):
            traceback.print_exception(error)
            raise typer.Exit(CRASHED) from None


class _DecisionCommand(TyperCommand):
    """A command whose exit code is a decision; errors have other exit codes."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the command line; a usage error must not look like a decision."""
        try:
            return super().make_context(*args, **options)
        except _USAGE as error:
            error.exit_code = ERRORS_FROM + ConfigError.exit_code
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error must not look like a decision."""
        try:
            with _NoDecision():
                return super().invoke(ctx)
        except ScdiffError as error:
            error.exit_code += ERRORS_FROM
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


@app.command(cls=_DecisionCommand)
def release(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Output folders of `scdiff run`.")
    ] = None,
    spec: Annotated[
        list[str] | None,
        typer.Option(
            "--spec",
            help="YAML file, or isct, wj_msc, progenitor_yield, residual_pluripotent; repeatable.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the decision.")] = Path(
        "release"
    ),
    batch: Annotated[
        list[str] | None,
        typer.Option(
            "--batch", help="Name of the batch, by default the name of the folder; repeatable."
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            envvar="SCDIFF_HISTORY",
            help="Register every decision in this history of batches, e.g. sqlite:///batches.db; "
            "with --verify, check that it has them and that none of its rows was changed.",
        ),
    ] = None,
    who: Annotated[
        str | None, typer.Option("--who", help="Name of the person, for the history.")
    ] = None,
    *,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Repeat the decision from the tables, and list what changed."
        ),
    ] = False,
) -> None:
    """Decide results against a specification: exit code 0 PASS, 1 FAIL, 2 CANNOT TELL, 3 INVALID.

    Exit codes of 10 and above are errors.
    """
    if verify:
        _verify(out, history, [*(results or []), *(spec or [])])
    from scdiff.batches.release import PAGE, release_batches

    if history is not None:
        check_results(history, results or [], batch or [])
    decided = release_batches(results or [], spec or [], out, batches=batch or ())
    entries = register_decisions(history, out, who) if history is not None else []
    _print_decisions(decided.sheets)
    for sentence in entries:
        typer.echo(sentence)
    typer.echo(f"Page: {out / PAGE}")
    raise typer.Exit(decided.exit_code)


def _print_decisions(sheets: Sequence[Any]) -> None:
    """Print each decision, with the lines that are not met."""
    for sheet in sheets:
        typer.echo(f"{sheet.batch}: {sheet.decision} by {sheet.specification} {sheet.version}")
        for line in sheet.judgements:
            if line.decision not in ("PASS", "NOT MEASURED", "REPORTED"):
                advice = f"; what would decide: {line.advice}" if line.advice else ""
                typer.echo(f"  {line.title}: {line.decision}, {line.why}{advice}")


def _verify(out: Path, history: str | None, others: list[Any]) -> None:
    """Verify a decision and exit.

    Raises
    ------
    ConfigError
        If more than the folder is given.
    """
    from scdiff.batches.verify import verify_release

    if others:
        raise ConfigError(
            "--verify takes only the folder of the decision (--out) and --history: results and "
            "specifications are in its record."
        )
    found = verify_release(out)
    if history is not None and not found:
        found = check_history(history, out)
    for sentence in found:
        typer.echo(sentence)
    if not found:
        registered = "" if history is None else " The history has these decisions."
        typer.echo(
            f"{out}: verified. No file has changed, and every decision is the same.{registered}"
        )
    raise typer.Exit(CHANGED if found else 0)


@app.command(cls=_DecisionCommand)
def validate(
    protocol: Annotated[str, typer.Argument(help="YAML file, or standard.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the validation.")] = Path(
        "validation"
    ),
    *,
    quiet: Quiet = False,
) -> None:
    """Validate the method by a protocol: exit code 0 PASS, 1 FAIL, 2 CANNOT TELL.

    Exit codes of 10 and above are errors.
    """
    from scdiff.batches.protocol import FIGURES
    from scdiff.batches.validate import REPORT, validate_method

    found = validate_method(protocol, out)
    for one in found.accepted if not quiet else ():
        typer.echo(f"{one.decision}: {FIGURES[one.criterion.figure]}: {one.why}")
    typer.echo(f"{found.protocol.content.name} {found.protocol.content.version}: {found.decision}")
    typer.echo(f"Report: {out / REPORT}")
    raise typer.Exit(found.exit_code)
