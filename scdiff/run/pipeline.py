"""The pipeline: ``STEPS`` in order, and :func:`run`, which passes one object through them.

::

    load -> qc -> normalise -> embed -> score -> call
         -> trajectory -> fraction -> communicate -> report
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scdiff import keys
from scdiff.bounded import MOST_TABLE_BYTES, read_text
from scdiff.compute.cluster import cluster
from scdiff.errors import ConfigError, OutputError, UnknownNameError, did_you_mean
from scdiff.options import RunOptions, options_model, run_model, validate_options
from scdiff.run.memory import describe_shortage
from scdiff.run.status import RunStatus, Watch
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.checkpoint import Checkpoints, take_counts

if TYPE_CHECKING:
    from anndata import AnnData
    from pydantic import BaseModel

    from scdiff.steps.load.step import Source

__all__ = ["STEPS", "resolve", "run", "step_functions"]

log = logging.getLogger(__name__)

STEPS = (
    "load",
    "qc",
    "normalise",
    "embed",
    "score",
    "call",
    "trajectory",
    "fraction",
    "communicate",
    "report",
)
"""Names of the steps in the order in which they run; each is a public function."""

RECORD = "run.yaml"
"""File of all resolved options. It is written first, so that it always describes the last run."""

LEAN = {"normalise": {"store": False}}
"""Options that differ from those of a notebook: to save memory, a run does not store the
log-normalised values; each step that needs them computes them."""

_HEADING = "# scdiff: all options of this run, as resolved. Use them again with --config.\n"

ROOMS = ("load", "qc", "embed", "call", "trajectory", "fraction", "communicate")
"""Steps that are a folder, with their function in ``step.py``."""


def _ignore(step: str, event: str, seconds: float) -> None:
    """Ignore an event."""


def step_functions() -> dict[str, Callable[..., Any]]:
    """Import the step functions and return them by name, in order."""
    homes = {
        name: f"scdiff.steps.{name}.step" if name in ROOMS else f"scdiff.steps.{name}"
        for name in STEPS
    } | {"report": "scdiff.report.step"}
    return {name: getattr(import_module(home), name) for name, home in homes.items()}


def resolve(options: Mapping[str, Any], *, where: str = "configuration") -> BaseModel:
    """Check a whole configuration and fill in every default.

    Parameters
    ----------
    options
        Run-wide options and one mapping per step, as in a YAML file.
    where
        Source of the options, for error messages.

    Raises
    ------
    ConfigError
        If an option is unknown or out of range, or there is no input.
    """
    given = {
        name: {} if value is None and name in STEPS else value  # `call:` without any option
        for name, value in options.items()
    }
    config = validate_options(run_model(step_functions(), LEAN), given, where=where)
    _check_names(config, where)
    return config


def _check_names(config: Any, where: str) -> None:
    """Check that programmes, axes, receivers and the package for groups exist, before reading."""
    from scdiff.programs import load_programs
    from scdiff.programs.axes import choose_axes
    from scdiff.programs.receivers import load_receivers
    from scdiff.steps.communicate.interactions import check_liana

    load_programs(config.programs)
    choose_axes(config.communicate.axes)
    load_receivers(config.communicate.receivers, "human")
    if config.communicate.groups is not None:
        check_liana()
    if not config.inputs and config.sheet is None:
        raise ConfigError(
            f"{where}: there is nothing to read. Give input files or folders, or a sample sheet."
        )


def run(
    config: Any,
    out: Path,
    *,
    start: str | None = None,
    watch: Watch = _ignore,
    status: RunStatus | None = None,
) -> AnnData:
    """Run all steps that are not finished yet and write the results to a folder.

    Parameters
    ----------
    config
        Return value of :func:`resolve`.
    out
        Output folder. A killed run in it continues after its last finished step.
    start
        First step to recompute even if nothing changed.
    watch
        Called when a step starts, is taken from an earlier run, or is finished.
    status
        Status file that the caller keeps; None keeps one for this call.

    Returns
    -------
    The finished object, as in ``OUT/result.h5ad``. X is not filled; :func:`scdiff.pp.normalise`
    fills it.

    Raises
    ------
    ScdiffError
        Any error of a step. Finished steps are kept, and no report is left.
    """
    from scdiff.report.alerts import list_alerts
    from scdiff.report.verdict import main_row

    if start is not None and start not in STEPS:
        raise UnknownNameError(f"unknown step {start!r}. {did_you_mean(start, STEPS)}")
    out = Path(out)
    with ExitStack() as stack:
        status = status or stack.enter_context(RunStatus(out))
        sources = _find_sources(config)
        files = _list_files(config, sources)
        options = {
            name: _step_options(config, name, function)
            for name, function in step_functions().items()
        }
        prints = _fingerprints(config, options, files, sources)
        checkpoints = Checkpoints(out)
        if config.engine == "memory" and (warning := describe_shortage(files)):
            log.warning(warning)
        stack.enter_context(checkpoints.locked())
        stack.enter_context(cluster(config.engine, config.scheduler))
        _begin(config, out, files, status)
        watch = status.record_steps(watch)
        n_done = checkpoints.n_intact(_count_unchanged(checkpoints, prints, start))
        checkpoints.keep(n_done)
        adata = _restore(checkpoints, n_done, options["load"], watch)
        for name in STEPS[n_done:-1]:
            adata = _run_step(adata, name, options[name], prints[name], checkpoints, watch)
        _report(adata, options, checkpoints, out, watch)
        status.set_verdict(str(main_row(adata)["verdict"]), list_alerts(adata))
        return adata


def _begin(config: Any, out: Path, files: Sequence[Path], status: RunStatus) -> None:
    """Record the options and remove the results of an earlier run, so that old and new never mix.

    Raises
    ------
    OutputError
        If this would replace an input, or a file that scdiff did not write.
    """
    from scdiff.report.output import previous_files, remove_report

    record, written = out / RECORD, {(out / name).resolve() for name in previous_files(out)}
    if clash := [file for file in files if file.resolve() in written]:
        raise OutputError(
            f"{clash[0]}: this input is a result in the output folder and would be replaced. "
            "Give another --out."
        )
    if record.is_file() and not record.read_text(encoding="utf-8", errors="replace").startswith(
        _HEADING
    ):
        raise OutputError(
            f"{record}: scdiff did not write this file and would replace it. Choose another --out."
        )
    status.begin()
    with replace_atomically(record) as partial:
        partial.write_text(
            _HEADING + yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
            encoding="utf-8",
        )
        remove_report(out)


def _step_options(config: Any, name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of one step: its section and the run-wide options that it takes."""
    fields = set(options_model(function).model_fields) | ({"inputs"} if name == "load" else set())
    plain = {"samples": config.samples_given}
    wide = {
        key: plain.get(key, getattr(config, key))
        for key in RunOptions.model_fields
        if key in fields
    }
    return getattr(config, name).model_dump() | wide | LEAN.get(name, {})


def _fingerprints(
    config: Any,
    options: Mapping[str, Mapping[str, Any]],
    files: Sequence[Path],
    sources: Sequence[Source],
) -> dict[str, str]:
    """Return, per step, a hash of all that its result depends on.

    These are versions, files, samples, options, programmes, receivers and the steps before.
    """
    from scdiff.programs import load_programs
    from scdiff.report.versions import list_versions

    programs = [program.model_dump(mode="json") for program in load_programs(config.programs)]
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    samples = [
        (source.sample, source.label, source.wells, dict(source.fields), source.control)
        for source in sources
    ]
    chain, prints = _digest([list_versions(), states, samples]), {}
    for name in STEPS:
        tables = [
            read_text(path, MOST_TABLE_BYTES)
            for path in map(Path, options[name].get("receivers", ()))
            if path.suffix == ".csv"
        ]
        chain = _digest(
            [chain, name, options[name], programs if "programs" in options[name] else [], *tables]
        )
        prints[name] = chain
    return prints


def _digest(content: Any) -> str:
    """Return the SHA-256 hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _find_sources(config: Any) -> list[Source]:
    """Find the samples that the run reads.

    Raises
    ------
    ScdiffError
        If an input is missing or the sheet has errors.
    """
    from scdiff.steps.load.step import plan_inputs

    return plan_inputs(config.inputs, samples=config.samples_given, control=config.control)


def _list_files(config: Any, sources: Sequence[Source]) -> list[Path]:
    """List all files that the run reads, with the sample sheet and the lists of samples."""
    read = [*sources, *(source.raw for source in sources if source.raw)]
    tables = {path for path in (config.sheet, *(source.calls for source in sources)) if path}
    return sorted({Path(path) for source in read for path in source.files} | tables)


def _count_unchanged(checkpoints: Checkpoints, prints: Mapping[str, str], start: str | None) -> int:
    """Count the finished steps, from the first, whose fingerprints are unchanged."""
    most = STEPS.index(start) if start else len(STEPS) - 1
    n_done = 0
    for name, entry in zip(STEPS[:most], checkpoints.finished(), strict=False):
        if (entry["step"], entry["fingerprint"]) != (name, prints[name]):
            break
        n_done += 1
    return n_done


def _restore(
    checkpoints: Checkpoints, n_done: int, load_options: dict[str, Any], watch: Watch
) -> AnnData | None:
    """Return the object after the finished steps, with X not filled; None if no step is finished.

    Counts that were not stored are read from the input again.
    """
    if n_done == 0:
        return None
    for entry in checkpoints.finished():
        watch(entry["step"], "resumed", entry["seconds"])
    adata = checkpoints.restore()
    if "counts" not in adata.layers:
        take_counts(adata, step_functions()["load"](**load_options))
    return adata


def _run_step(
    adata: AnnData | None,
    name: str,
    options: dict[str, Any],
    fingerprint: str,
    checkpoints: Checkpoints,
    watch: Watch,
) -> AnnData:
    """Run one step and store its result.

    The first step creates the object; the others change it in place.
    """
    watch(name, "started", 0.0)
    start_time = time.perf_counter()
    result = step_functions()[name](**({} if adata is None else {"adata": adata}), **options)
    adata = result if adata is None else adata
    seconds = time.perf_counter() - start_time
    checkpoints.save(adata, name, fingerprint=fingerprint, seconds=seconds)
    watch(name, "finished", seconds)
    return adata


def _report(
    adata: AnnData, options: Mapping[str, Any], checkpoints: Checkpoints, out: Path, watch: Watch
) -> None:
    """Record options, versions and times in the object, then write the report."""
    from scdiff.report import report
    from scdiff.report.versions import list_versions

    watch("report", "started", 0.0)
    start_time = time.perf_counter()
    adata.uns[keys.ROOT][keys.RUN.name] = {
        "options": {
            name: yaml.safe_dump(
                json.loads(json.dumps(options[name], default=str)), sort_keys=False
            )
            for name in STEPS
        },
        "versions": list_versions(),
        "seconds": {entry["step"]: float(entry["seconds"]) for entry in checkpoints.finished()},
    }
    report(adata, out=out, **options["report"])
    watch("report", "finished", time.perf_counter() - start_time)
