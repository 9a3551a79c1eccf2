"""Commands that bring data and knowledge: ``fetch`` and ``programs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scdiff.cli.app import Quiet, app, echo_table

__all__ = ["fetch", "programs"]


@app.command()
def fetch(
    sources: Annotated[
        list[str], typer.Argument(help="GEO series or samples (GSE114412), addresses (https://...#sha256:...), census:human:CONDITION.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the files; a download that broke off goes on in it.")] = Path("data"),
    pattern: Annotated[str, typer.Option("--pattern", help="Which supplementary files of GEO, as in --pattern '*_RAW.tar'.")] = "*",
    known: Annotated[str, typer.Option("--hash", help="Hash that the file must have, as in --hash sha256:...; for one address.")] = "",
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds without a byte before the server is asked again.")] = 60.0,
    *,
    only_list: Annotated[bool, typer.Option("--list", help="Show names and sizes; download nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download public data, with a lock file of sizes, hashes and dates; what is there already is verified."""
    from scdiff.fetch.sources import describe_files, format_remote_files, list_remote_files
    from scdiff.fetch.sources import fetch as fetch_files
    from scdiff.run.progress import Progress

    if only_list:
        echo_table(format_remote_files(list_remote_files(sources, pattern=pattern, timeout_s=timeout)))
        return
    with Progress(quiet=quiet) as progress:
        files = fetch_files(sources, out, pattern=pattern, known=known, timeout_s=timeout, watch=progress.watch)
    if not quiet:
        typer.echo(describe_files(files, out))


@app.command()
def programs(names: Annotated[list[str] | None, typer.Argument(help="Programmes; all where none is named.")] = None) -> None:
    """List the programmes with their genes and sources."""
    from scdiff.programs import load_program, program_names

    for name in names or program_names():
        program = load_program(name)
        typer.echo(f"{program.name}: {program.title}\n  {program.summary}\n  source: {program.source}")
        for entry in (*program.markers, *program.sets):
            mouse = ", ".join(entry.genes("mouse")) or "no mouse ortholog"
            typer.echo(f"  - {entry.name}: {', '.join(entry.human)} (mouse {mouse}); source: {entry.source}")
