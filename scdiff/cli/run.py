"""Commands that run the steps: ``run``, ``demo`` and ``check``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from scdiff.cli.app import Quiet, app, echo_table, echo_verdict
from scdiff.cli.register import open_early, register_run
from scdiff.errors import InputError
from scdiff.run.settings import add_sample_key, join_options
from scdiff.run.status import RunStatus

__all__ = ["check", "demo", "run"]

Inputs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files or folders: h5ad, h5mu, zarr, 10x h5 or mtx, loom, csv, tsv, rds, tar or zip. "
        "Each has one or more samples."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Folder for the results. An interrupted run in it is continued."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file with options. The command line overrides it."),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        "--samples",
        help="Sample sheet, csv, tsv or xlsx, with columns "
        "sample,path,raw,donor,condition,day,control.",
    ),
]
Control = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        help="Name of a sample without positive cells (medium control, day 0); repeatable.",
    ),
]
SampleKey = Annotated[
    str | None,
    typer.Option(
        "--sample-key", help="Column of obs that names the sample of each cell, e.g. donor_id."
    ),
]
Species = Annotated[str | None, typer.Option("--species", help="auto, human, mouse or rat.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Any option of the configuration, e.g. --set call.fdr=0.01; repeatable."
    ),
]
HistoryURL = Annotated[
    str | None,
    typer.Option(
        "--history",
        envvar="SCDIFF_HISTORY",
        help="Register the run in this history of batches, e.g. sqlite:///batches.db.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="memory, or dask to keep the counts on disk (h5ad or zarr)."),
]


@app.command()
def run(
    inputs: Inputs = None,
    out: Out = Path("scdiff-out"),
    config: Config = None,
    samples: Sheet = None,
    control: Control = None,
    species: Species = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Recompute this step and all later ones, even if nothing changed."
        ),
    ] = None,
    settings: Settings = None,
    engine: Engine = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a running dask scheduler, for --engine dask."),
    ] = None,
    sample_key: SampleKey = None,
    history: HistoryURL = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", help="Name in the history; by default that of the output folder."),
    ] = None,
    *,
    quiet: Quiet = False,
) -> None:
    """Run all steps on one or more samples and write the report."""
    with RunStatus(out, batch) as status:
        settings = add_sample_key(settings, sample_key)
        options = join_options(inputs, config, samples, control, species, settings)
        options |= {
            name: value
            for name, value in (("engine", engine), ("scheduler", scheduler))
            if value is not None
        }
        if history is not None:
            open_early(history)
        _run(options, out, start, quiet, where=str(config or "command line"), status=status)
        registered = register_run(history, out, batch) if history is not None else ""
    if registered and not quiet:
        typer.echo(registered)


@app.command()
def demo(
    out: Out = Path("scdiff-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random generators.")] = 0,
    *,
    quiet: Quiet = False,
) -> None:
    """Simulate a batch with known truth, run all steps on it, and compare result and truth."""
    truth = _write_demo(out, seed)
    options = {"inputs": [out.resolve() / "batch.h5ad"], "control": ["control1"], "seed": seed}
    row = _run(options, out, None, quiet, where="demo")
    inside = row["prevalence_low"] <= truth <= row["prevalence_high"]
    if not quiet:
        typer.echo(
            f"Simulated truth: {truth:.2%}, {'inside' if inside else 'outside'} the interval."
        )


def _write_demo(out: Path, seed: int) -> float:
    """Write the simulated batch unless the folder has it; return the true fraction."""
    import json

    from scdiff.simulate import demo as draw
    from scdiff.storage.atomic import replace_atomically
    from scdiff.storage.h5ad import write_h5ad

    record, file = out / "truth.json", out / "batch.h5ad"
    with suppress(OSError, ValueError, LookupError, TypeError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["seed"] == seed and known["size"] == file.stat().st_size:
            return float(known["fraction"])
    batch = draw(seed=seed)
    truth = float(batch.uns["truth"]["fraction"])
    with replace_atomically(file) as partial:
        write_h5ad(batch, partial)
    with replace_atomically(record) as partial:
        partial.write_text(
            json.dumps({"seed": seed, "fraction": truth, "size": file.stat().st_size}),
            encoding="utf-8",
        )
    return truth


@app.command()
def check(
    inputs: Inputs = None,
    config: Config = None,
    samples: Sheet = None,
    control: Control = None,
    species: Species = None,
    settings: Settings = None,
    sample_key: SampleKey = None,
) -> None:
    """Check configuration and inputs: samples, genes, species, values, markers. Run no step."""
    from scdiff.programs import load_programs
    from scdiff.run.pipeline import resolve
    from scdiff.steps.load.step import look_at, plan_inputs

    resolved: Any = resolve(
        join_options(
            inputs, config, samples, control, species, add_sample_key(settings, sample_key)
        ),
        where=str(config or "command line"),
    )
    sources = plan_inputs(resolved.inputs, samples=resolved.samples_given, control=resolved.control)
    looks, faults = look_at(
        sources,
        species=resolved.species,
        matrix=resolved.load.matrix,
        engine=resolved.engine,
        recover=resolved.load.recover,
    )
    heading = ("sample", "layout", "role", "cells", "genes", "species", "values", "path")
    if looks:
        echo_table([heading, *(_format_look(look) for look in looks)])
    for program in load_programs(resolved.programs):
        for markers in dict.fromkeys(look.markers(program) for look in looks):
            typer.echo(f"{program.name}: {markers}.")
    for note in dict.fromkeys(sentence for look in looks for sentence in look.said):
        typer.echo(f"Note: {note}")
    _raise_faults(faults)
    typer.echo("The configuration is valid, and all inputs can be read. No step was run.")


def _raise_faults(faults: Sequence[str]) -> None:
    """Raise InputError if the inputs have faults."""
    if faults:
        raise InputError("\n".join(faults))


def _format_look(look: Any) -> tuple[str, ...]:
    """Return one row of the table of samples."""
    source, role = look.source, "control" if look.source.control else "batch"
    sizes = (f"{look.n_cells:,}", f"{look.n_genes:,}")
    values = (look.species, look.values, str(source.path))
    return (source.sample, source.layout, role, *sizes, *values)


def _run(
    options: dict[str, Any],
    out: Path,
    start: str | None,
    quiet: bool,
    *,
    where: str,
    status: RunStatus | None = None,
) -> dict[str, Any]:
    """Run the pipeline with progress, print the verdict, and return the main row."""
    from scdiff.run.pipeline import resolve
    from scdiff.run.pipeline import run as run_pipeline
    from scdiff.run.progress import Progress

    with Progress(quiet=quiet) as progress:
        config = resolve(options, where=where)
        adata = run_pipeline(config, out, start=start, watch=progress.watch, status=status)
    row = echo_verdict(adata)
    if not quiet:
        typer.echo(f"Report: {out / 'report.html'}")
    return row
