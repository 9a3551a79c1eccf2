"""The command ``scdiff``: the only place that prints or exits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from scdiff.errors import ConfigError, ScdiffError

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
    list[Path] | None, typer.Argument(help="Files or folders: h5ad, 10x h5, 10x mtx folder, loom, csv or tsv; each is a sample.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results; a run that was killed goes on in it.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with options; those given here win.")]
Sheet = Annotated[Path | None, typer.Option("--samples", help="Sample sheet, csv or tsv: sample,path,raw,donor,condition,day,control.")]
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
    options = _options(inputs, config, samples, control, species, settings)
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
    """Check the configuration and the inputs; run nothing."""
    from scdiff.pipeline import resolve
    from scdiff.programs import load_programs
    from scdiff.steps.load import plan_inputs

    resolved: Any = resolve(_options(inputs, config, samples, control, species, settings), where=str(config or "command line"))
    sources = plan_inputs(resolved.inputs, samples=resolved.samples, control=resolved.control)
    heading = ("sample", "layout", "role", "path")
    _echo_table(
        [heading, *((source.sample, source.layout, "control" if source.control else "batch", str(source.path)) for source in sources)]
    )
    typer.echo(f"Programmes: {', '.join(program.name for program in load_programs(resolved.programs))}.")
    typer.echo("The configuration is valid and every input is there; nothing was run.")


def _echo_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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

    given = _report_options(settings)
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


def _options(
    inputs: list[Path] | None,
    config: Path | None,
    samples: Path | None,
    control: list[str] | None,
    species: str | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    """Join the configuration file and what the command line says; the command line wins."""
    from scdiff.config import read_yaml

    options = _from_its_folder(read_yaml(config), config.parent) if config else {}
    given = {
        "inputs": [path.resolve() for path in inputs or []],
        "samples": samples and samples.resolve(),
        "control": control,
        "species": species,
    }
    options |= {key: value for key, value in given.items() if value}
    for setting in settings or []:
        _set(options, setting)
    return options


def _from_its_folder(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take the relative paths of a configuration file from where the file is, as those of a sample sheet."""
    if isinstance(options.get("inputs"), list):
        options["inputs"] = [folder.resolve() / path if isinstance(path, str) else path for path in options["inputs"]]
    if isinstance(options.get("samples"), str):
        options["samples"] = folder.resolve() / options["samples"]
    if isinstance(options.get("programs"), list):
        options["programs"] = [str(folder.resolve() / name) if str(name).endswith(".toml") else name for name in options["programs"]]
    return options


def _set(options: dict[str, Any], setting: str) -> None:
    """Put one ``section.option=value`` into the options."""
    import yaml

    path, equals, text = setting.partition("=")
    *sections, name = path.split(".")
    if not equals or not all([*sections, name]):
        raise ConfigError(f"--set {setting!r}: write it as option=value or section.option=value.")
    for section in sections:
        options[section] = options.get(section) or {}
        options = options[section]
        if not isinstance(options, dict):
            raise ConfigError(f"--set {setting!r}: {section!r} is an option, not a section of options.")
    try:
        options[name] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting!r}: the value is not a YAML text: {' '.join(str(error).split())}.") from None


def _report_options(settings: list[str] | None) -> dict[str, Any]:
    """Take the options of the report alone, which is all that a finished run can still change."""
    options: dict[str, Any] = {"report": {}}
    for setting in settings or []:
        _set(options, setting)
    if others := sorted(set(options) - {"report"}):
        raise ConfigError(f"--set {others[0]}: only options of the report, as in --set report.weight_kg=70; others need `scdiff run`.")
    if "out" in options["report"]:
        raise ConfigError("--set report.out: give the folder with --out.")
    return dict(options["report"])


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

    from scdiff.errors import InputError

    try:
        adata = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as the result.h5ad of a run ({' '.join(str(error).split())[:200]}).") from None
    if "fractions" not in adata.uns.get("scdiff", {}):
        raise InputError(
            f"{path}: holds no fractions, so it is not the result.h5ad of a run. Give OUT/result.h5ad, or run `scdiff run` first."
        )
    return adata
