"""Commands ``fetch``, which downloads public data, and ``programs``, which lists programmes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scdiff.cli.app import Quiet, app, echo_table

__all__ = ["fetch", "programs"]


@app.command()
def fetch(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="GEO series or samples (GSE114412), URLs (https://...#sha256:...), "
            "or census:human:CONDITION."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the files. An interrupted download in it is resumed."
        ),
    ] = Path("data"),
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern", help="Supplementary GEO files to download, e.g. --pattern '*_RAW.tar'."
        ),
    ] = "*",
    known: Annotated[
        str,
        typer.Option(
            "--hash", help="Expected hash of the file, e.g. --hash sha256:...; for one URL."
        ),
    ] = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=0.1, help="Seconds without data before the request is repeated."
        ),
    ] = 60.0,
    *,
    only_list: Annotated[
        bool, typer.Option("--list", help="List names and sizes without a download.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Download public data and verify existing files; a lock file has sizes, hashes and dates."""
    from scdiff.fetch.sources import describe_files, format_remote_files, list_remote_files
    from scdiff.fetch.sources import fetch as fetch_files
    from scdiff.run.progress import Progress

    if only_list:
        echo_table(
            format_remote_files(list_remote_files(sources, pattern=pattern, timeout_s=timeout))
        )
        return
    with Progress(quiet=quiet) as progress:
        files = fetch_files(
            sources, out, pattern=pattern, known=known, timeout_s=timeout, watch=progress.watch
        )
    if not quiet:
        typer.echo(describe_files(files, out))


@app.command()
def programs(
    names: Annotated[
        list[str] | None, typer.Argument(help="Programmes; all if no name is given.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Check the TOML file of a programme, and list its genes."),
    ] = None,
    *,
    template: Annotated[
        bool, typer.Option("--template", help="Print an annotated TOML file to start from.")
    ] = False,
) -> None:
    """List the programmes with their genes and sources; check a file of your own."""
    from scdiff.programs import load_program, program_names

    if template:
        from scdiff.programs.check import read_template

        typer.echo(read_template(), nl=False)
        return
    if check is not None:
        _check_program(check)
        return
    for name in names or program_names():
        program = load_program(name)
        typer.echo(
            f"{program.name}: {program.title}\n  {program.summary}\n  source: {program.source}"
        )
        for entry in (*program.markers, *program.sets):
            mouse = ", ".join(entry.genes("mouse")) or "no mouse ortholog"
            rat = ", ".join(entry.genes("rat")) or "no rat ortholog"
            also = f"; rat {rat}" if entry.genes("rat") != entry.genes("mouse") else ""
            genes = f"{', '.join(entry.human)} (mouse {mouse}{also})"
            typer.echo(f"  - {entry.name}: {genes}; source: {entry.source}")


def _check_program(path: Path) -> None:
    """Print the markers of a programme file.

    Raises
    ------
    ProgramError
        If the file breaks the schema, or a gene is not an approved symbol.
    """
    from scdiff.errors import ProgramError
    from scdiff.programs import load_program
    from scdiff.programs.check import describe_markers, find_faults

    if path.suffix != ".toml":
        raise ProgramError(f"{path}: the name of a programme file ends in .toml.")
    program = load_program(str(path))
    typer.echo(f"{program.name}: {program.title}")
    rule = f"at least {program.min_markers} of {len(program.core)} markers"
    typer.echo(f"A cell is positive with {rule}." if program.markers else "Scored only.")
    echo_table(describe_markers(program))
    if faults := find_faults(program):
        raise ProgramError("\n".join(f"{path}: {fault}" for fault in faults))
    typer.echo("The programme is valid.")
