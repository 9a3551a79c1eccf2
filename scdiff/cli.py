"""The command ``scdiff``: the only place that prints or exits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from scdiff.errors import InputError, ScdiffError
from scdiff.settings import joined, report_options

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="How many cells of a mesenchymal stem cell batch became pancreatic-progenitor-like: a fraction with its interval, "
    "detection limit, controls and verdict. For research: it measures transcripts, not function or clinical benefit.",
)

Inputs = Annotated[
    list[Path] | None,
    typer.Argument(help="Files or folders: h5ad, h5mu, zarr, 10x h5 or mtx, loom, csv, tsv, rds, tar or zip; a sample each, or several."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results; a run that was killed goes on in it.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with options; those given here win.")]
Sheet = Annotated[
    Path | None, typer.Option("--samples", help="Sample sheet, csv, tsv or xlsx: sample,path,raw,donor,condition,day,control.")
]
Control = Annotated[list[str] | None, typer.Option("--control", help="Sample without positive cells (medium control, day 0); repeatable.")]
Species = Annotated[str | None, typer.Option("--species", help="auto, human or mouse.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any option of the configuration, as in --set call.fdr=0.01; repeatable.")
]
Engine = Annotated[str | None, typer.Option("--engine", help="memory, or dask: the counts stay on disk (h5ad or zarr).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the verdict.")]


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


@app.callback(invoke_without_command=True)
def _global(*, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from scdiff import __version__

        typer.echo(f"scdiff {__version__}")
        raise typer.Exit


@app.command()
def run(
    inputs: Inputs = None,
    out: Out = Path("scdiff-out"),
    config: Config = None,
    samples: Sheet = None,
    control: Control = None,
    species: Species = None,
    start: Annotated[str | None, typer.Option("--from", help="Recompute from this step although nothing changed.")] = None,
    settings: Settings = None,
    engine: Engine = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address of a running dask scheduler; for --engine dask.")] = None,
    *,
    quiet: Quiet = False,
) -> None:
    """Run all steps on one or more samples and write the report."""
    options = joined(inputs, config, samples, control, species, settings)
    options |= {name: value for name, value in (("engine", engine), ("scheduler", scheduler)) if value is not None}
    _run(options, out, start, quiet, where=str(config or "command line"))


@app.command()
def demo(
    out: Out = Path("scdiff-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Start of the random generators.")] = 0,
    *,
    quiet: Quiet = False,
) -> None:
    """Simulate a batch with known truth, run all steps on it, and hold the result against the truth."""
    truth = _write_demo(out, seed)
    options = {"inputs": [out.resolve() / "batch.h5ad"], "control": ["control1"], "seed": seed}
    row = _run(options, out, None, quiet, where="demo")
    inside = row["prevalence_low"] <= truth <= row["prevalence_high"]
    if not quiet:
        typer.echo(f"Simulated truth: {truth:.2%}, {'inside' if inside else 'outside'} the interval.")


def _write_demo(out: Path, seed: int) -> float:
    """Write the simulated batch unless it is there already; return the true fraction."""
    import json

    from scdiff.checkpoint import replaced
    from scdiff.report.h5ad import write_h5ad
    from scdiff.simulate import demo_batch

    record, file = out / "truth.json", out / "batch.h5ad"
    with suppress(OSError, ValueError, LookupError, TypeError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["seed"] == seed and known["size"] == file.stat().st_size:
            return float(known["fraction"])
    batch = demo_batch(seed=seed)
    truth = float(batch.uns["truth"]["fraction"])
    with replaced(file) as partial:
        write_h5ad(batch, partial)
    with replaced(record) as partial:
        partial.write_text(json.dumps({"seed": seed, "fraction": truth, "size": file.stat().st_size}), encoding="utf-8")
    return truth


@app.command()
def check(
    inputs: Inputs = None,
    config: Config = None,
    samples: Sheet = None,
    control: Control = None,
    species: Species = None,
    settings: Settings = None,
) -> None:
    """Check the configuration and look into the inputs: samples, cells, genes, species, values, markers; run nothing."""
    from scdiff.pipeline import resolve
    from scdiff.programs import load_programs
    from scdiff.steps.load import look_at, plan_inputs

    resolved: Any = resolve(joined(inputs, config, samples, control, species, settings), where=str(config or "command line"))
    sources = plan_inputs(resolved.inputs, samples=resolved.samples, control=resolved.control)
    looks, faults = look_at(sources, species=resolved.species, matrix=resolved.load.matrix, engine=resolved.engine)
    heading = ("sample", "layout", "role", "cells", "genes", "species", "values", "path")
    if looks:
        _echo_table([heading, *(_look_row(look) for look in looks)])
    for program in load_programs(resolved.programs):
        for said in dict.fromkeys(look.markers(program) for look in looks):
            typer.echo(f"{program.name}: {said}.")
    for said in dict.fromkeys(sentence for look in looks for sentence in look.said):
        typer.echo(f"Note: {said}")
    _refuse(faults)
    typer.echo("The configuration is valid and every input can be read; nothing was run.")


def _refuse(faults: Sequence[str]) -> None:
    """Raise what is wrong with the inputs, if anything is."""
    if faults:
        raise InputError("\n".join(faults))


def _look_row(look: Any) -> tuple[str, ...]:
    """Cells of one line of the table of samples."""
    source, sizes = look.source, (f"{look.n_cells:,}", f"{look.n_genes:,}")
    return (source.sample, source.layout, "control" if source.control else "batch", *sizes, look.species, look.values, str(source.path))


def _echo_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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
    from scdiff.fetch import fetch as fetch_files
    from scdiff.fetch import fetched_sentences, offered, offered_view
    from scdiff.progress import Progress

    if only_list:
        _echo_table(offered_view(offered(sources, pattern=pattern, timeout_s=timeout)))
        return
    with Progress(quiet=quiet) as progress:
        files = fetch_files(sources, out, pattern=pattern, known=known, timeout_s=timeout, watch=progress.watch)
    if not quiet:
        typer.echo(fetched_sentences(files, out))


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


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="The result.h5ad of a run.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the report; that of the result where not given.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the report, as in --set report.weight_kg=70; repeatable.")
    ] = None,
) -> None:
    """Write the report of a finished run again, for another dose if one is set."""
    from scdiff.report import report as write_report
    from scdiff.report.verdict import main_row, verdict_sentence
    from scdiff.steps.dose import recorded_dose

    given = report_options(settings)
    adata = _read_result(result)
    folder = out or result.parent
    write_report(adata, out=folder, **(recorded_dose(adata) | given))
    typer.echo(verdict_sentence(main_row(adata)))
    typer.echo(f"Report: {folder / 'report.html'}")


@app.command()
def compare(
    result: Annotated[Path, typer.Argument(help="The result.h5ad of a run on two groups of donors.")],
    by: Annotated[str, typer.Option("--by", help="Column of obs with two groups, from the sample sheet.")] = "condition",
    pairs: Annotated[str | None, typer.Option("--pairs", help="Column by which the groups are paired, as in --pairs donor.")] = None,
    margin: Annotated[float | None, typer.Option("--margin", help="Difference that does not matter, percentage points.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the report; that of the result where not given.")] = None,
) -> None:
    """Compare two groups of donors; the report is written again with tables/comparison.csv."""
    from scdiff.report import report as write_report
    from scdiff.report.sections.groups import comparison_sentence
    from scdiff.steps.compare import compare as compare_groups
    from scdiff.steps.dose import recorded_dose

    adata = _read_result(result)
    compare_groups(adata, by=by, pairs=pairs, margin=margin)
    folder = out or result.parent
    write_report(adata, out=folder, **recorded_dose(adata))
    typer.echo(comparison_sentence(adata))
    typer.echo(f"Table: {folder / 'tables' / 'comparison.csv'}")


@app.command()
def plan(
    lod: Annotated[float, typer.Option("--lod", help="Fraction to be found, 0-1: 0.001 is one cell in a thousand.")] = 0.001,
    depth: Annotated[list[float] | None, typer.Option("--depth", help="Median counts per cell; repeatable; a grid if not given.")] = None,
    program: Annotated[str, typer.Option("--program", help="Programme, or path of its TOML file.")] = "pancreatic_progenitor",
    contamination: Annotated[float, typer.Option("--contamination", help="Mean share of ambient counts, 0-1.")] = 0.05,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for plan.csv and plan.png.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Start of the random generator.")] = 0,
) -> None:
    """Say how many cells must be sequenced to detect, and to quantify, a fraction."""
    from scdiff.report.planning import DEPTHS, plan_sentence, plan_table, plan_view, write_plan

    depths = sorted({*(depth or []), *DEPTHS})
    table = plan_table(program, depths, fraction=lod, contamination=contamination, seed=seed)
    _echo_table(plan_view(table))
    for value in depth or []:
        typer.echo(plan_sentence(table, value, fraction=lod))
    if out is not None:
        write_plan(table, out, fraction=lod)
        typer.echo(f"Written: {out / 'plan.csv'}, {out / 'plan.png'}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .h5ad.")] = Path("simulated.h5ad"),
    n_cells: Annotated[int, typer.Option("--cells", min=2, help="Cells.")] = 3000,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="True fraction of positive cells.")] = 0.04,
    depth: Annotated[float, typer.Option(min=1, help="Median counts per cell.")] = 4000.0,
    contamination: Annotated[float, typer.Option(min=0, max=0.9, help="Mean share of ambient counts.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random generator.")] = 0,
) -> None:
    """Simulate a batch with known truth (obs columns truth_*, uns["truth"])."""
    from scdiff.checkpoint import replaced
    from scdiff.report.h5ad import write_h5ad
    from scdiff.simulate import simulate as draw

    adata = draw(n_cells=n_cells, fraction=fraction, depth=depth, contamination=contamination, seed=seed)
    with replaced(out) as partial:
        write_h5ad(adata, partial)
    typer.echo(f"{out}: {adata.n_obs:,} cells x {adata.n_vars:,} genes, true fraction {float(adata.uns['truth']['fraction']):.3%}.")


def _run(options: dict[str, Any], out: Path, start: str | None, quiet: bool, *, where: str) -> dict[str, Any]:
    """Run the pipeline with progress; print the verdict; return the main row of the fractions."""
    from scdiff.pipeline import resolve
    from scdiff.pipeline import run as run_pipeline
    from scdiff.progress import Progress
    from scdiff.report.verdict import main_row, verdict_sentence

    with Progress(quiet=quiet) as progress:
        adata = run_pipeline(resolve(options, where=where), out, start=start, watch=progress.watch)
    row = main_row(adata)
    typer.echo(verdict_sentence(row))
    if not quiet:
        typer.echo(f"Report: {out / 'report.html'}")
    return row


def _read_result(path: Path) -> Any:
    """Read a stored result.

    Raises
    ------
    InputError
        If it is none.
    """
    import anndata

    from scdiff.bounded import plain_file
    from scdiff.steps.load.probe import probe

    if kind := plain_file(path):
        raise InputError(f"{path}: this is {kind}, not the result.h5ad of a run.")
    if path.is_file():
        probe(path)
    try:
        adata = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as the result.h5ad of a run ({' '.join(str(error).split())[:200]}).") from None
    if "fractions" not in adata.uns.get("scdiff", {}):
        raise InputError(
            f"{path}: holds no fractions, so it is not the result.h5ad of a run. Give OUT/result.h5ad, or run `scdiff run` first."
        )
    return adata
