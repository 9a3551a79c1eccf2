"""Commands of quality control over batches: ``release`` and ``validate``."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from scdiff.cli.app import Quiet, app
from scdiff.errors import ConfigError, ScdiffError

__all__ = ["ERRORS_FROM", "release", "validate"]

ERRORS_FROM = 10
"""Exit codes 0 to 3 are decisions here, so an error has 10 more than elsewhere.

12 for bad options, 13 for bad data.
"""

CHANGED = 4
"""Exit code of ``--verify`` where anything changed."""

CRASHED, INTERRUPTED = 70, 130
"""A fault of scdiff itself would end with 1, which is FAIL here."""


_USAGE: Any = typer.BadParameter.__mro__[1]
"""UsageError of the click that typer brings."""


class _NoDecision:
    """Ends the command with a code of its own where scdiff itself is at fault.

    The traceback is printed as ever.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Print what went wrong."""
        expected = (ScdiffError, typer.Exit, *typer.BadParameter.__mro__[1:3])
        if isinstance(error, Exception) and not isinstance(error, expected):
            traceback.print_exception(error)
            raise typer.Exit(CRASHED) from None


class _DecisionCommand(TyperCommand):
    """A command whose exit code is a decision: errors have codes of their own."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the words of the command line; a usage error must not look like a decision."""
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
            "--batch", help="Name of the batch, that of its folder if not given; repeatable."
        ),
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decide again from the tables; say what changed since.")
    ] = False,
) -> None:
    """Judge results by a specification: exit code 0 PASS, 1 FAIL, 2 CANNOT TELL, 3 INVALID.

    10 and above, an error.
    """
    if verify:
        _verify(out, [*(results or []), *(spec or [])])
    from scdiff.batches.release import PAGE, release_batches

    decided = release_batches(results or [], spec or [], out, batches=batch or ())
    for sheet in decided.sheets:
        typer.echo(f"{sheet.batch}: {sheet.decision} by {sheet.specification} {sheet.version}")
        for line in sheet.judgements:
            if line.decision not in ("PASS", "NOT MEASURED", "REPORTED"):
                advice = f"; what would decide: {line.advice}" if line.advice else ""
                typer.echo(f"  {line.title}: {line.decision}, {line.why}{advice}")
    typer.echo(f"Page: {out / PAGE}")
    raise typer.Exit(decided.exit_code)


def _verify(out: Path, others: list[Any]) -> None:
    """Verify a decision and stop.

    Raises
    ------
    ConfigError
        If more than the folder is given.
    """
    from scdiff.batches.verify import verify_release

    if others:
        raise ConfigError(
            "--verify takes the folder of the decision (--out) and nothing else: results and "
            "specification are in its record."
        )
    found = verify_release(out)
    for said in found:
        typer.echo(said)
    if not found:
        typer.echo(
            f"{out}: everything is as it was written, and every decision comes out the same."
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

    10 and above, an error.
    """
    from scdiff.batches.protocol import FIGURES
    from scdiff.batches.validate import REPORT, validate_method

    found = validate_method(protocol, out)
    for one in found.accepted if not quiet else ():
        typer.echo(f"{one.decision}: {FIGURES[one.criterion.figure]}: {one.why}")
    typer.echo(f"{found.protocol.content.name} {found.protocol.content.version}: {found.decision}")
    typer.echo(f"Report: {out / REPORT}")
    raise typer.Exit(found.exit_code)
