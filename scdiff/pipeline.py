"""The pipeline: ``STEPS`` in order, and :func:`run`, which folds one object through them.

::

    load -> qc -> normalise -> embed -> score -> call -> trajectory -> fraction -> communicate -> report
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scdiff.checkpoint import Checkpoints, replaced
from scdiff.config import RunOptions, options_model, run_model, validated
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData
    from pydantic import BaseModel

__all__ = ["STEPS", "resolve", "run", "step_functions"]

STEPS = ("load", "qc", "normalise", "embed", "score", "call", "trajectory", "fraction", "communicate", "report")
"""Names of the steps, in the order of the work; each is a public function."""

REMOVED_FIRST = ("report.html", "result.h5ad", "run.yaml", "versions.yml", "scdiff_mqc.json", "scdiff_states_mqc.json", "tables", "figures")
"""What a run removes before it recomputes anything, so that no old result stands beside a new one."""

Watch = Callable[[str, str, float], None]
"""Told ``(step, "started" | "resumed" | "finished", seconds)``."""


def _silent(step: str, event: str, seconds: float) -> None:
    """Watch nothing."""


def step_functions() -> dict[str, Callable[..., Any]]:
    """The step functions by name, in order."""
    homes = {name: f"scdiff.steps.{name}" for name in STEPS} | {"report": "scdiff.report"}
    return {name: getattr(import_module(home), name) for name, home in homes.items()}


def resolve(options: Mapping[str, Any], *, where: str = "configuration") -> BaseModel:
    """Check a whole configuration and fill in every default.

    Parameters
    ----------
    options
        Run-wide options and one mapping per step, as in a YAML file.
    where
        What to name in an error.

    Raises
    ------
    ConfigError
        If an option is unknown, out of range, or there is nothing to read.
    """
    config = validated(run_model(step_functions()), options, where=where)
    _check_names(config, where)
    return config


def _check_names(config: Any, where: str) -> None:
    """Check that the programmes exist before data are read."""
    from scdiff.programs import load_programs

    load_programs(config.programs)
    if not config.inputs and config.samples is None:
        raise ConfigError(f"{where}: there is nothing to read. Give INPUT files or folders, or a sample sheet.")


def run(config: Any, out: Path, *, start: str | None = None, watch: Watch = _silent) -> AnnData:
    """Run all steps, or those that are not finished yet, and write the results to a folder.

    Parameters
    ----------
    config
        What :func:`resolve` returned.
    out
        Folder of the results; a run that was killed goes on after its last finished step.
    start
        Step to recompute from although nothing changed.
    watch
        Called when a step starts, is taken from an earlier run, or is finished.

    Returns
    -------
    The finished object, as in ``OUT/result.h5ad``.

    Raises
    ------
    ScdiffError
        Whatever a step finds wrong; finished steps are kept, and no report is left behind.
    """
    if start is not None and start not in STEPS:
        raise UnknownNameError(f"unknown step {start!r}. {did_you_mean(start, STEPS)}")
    checkpoints = Checkpoints(Path(out))
    with checkpoints.locked():
        options = {name: _step_options(config, name, function) for name, function in step_functions().items()}
        prints = _fingerprints(config, options)
        n_done = _n_unchanged(checkpoints, prints, start)
        _remove_results(Path(out))
        checkpoints.keep(n_done)
        adata = _resumed(checkpoints, options, n_done, watch)
        for name in STEPS[n_done:-1]:
            adata = _run_step(adata, name, options[name], prints[name], checkpoints, watch)
        _report(adata, config, options, checkpoints, Path(out), watch)
        return adata


def _step_options(config: Any, name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Options of one step: its section, and the run-wide ones that it takes."""
    fields = set(options_model(function).model_fields) | ({"inputs"} if name == "load" else set())
    wide = {key: getattr(config, key) for key in RunOptions.model_fields if key in fields}
    return getattr(config, name).model_dump() | wide


def _fingerprints(config: Any, options: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Per step, a hash of all that its result depends on: version, files, options, programmes, the steps before."""
    from scdiff import __version__
    from scdiff.programs import load_programs

    programs = [program.model_dump(mode="json") for program in load_programs(config.programs)]
    chain, prints = _digest([__version__, _files(config)]), {}
    for name in STEPS:
        chain = _digest([chain, name, options[name], programs if "programs" in options[name] else []])
        prints[name] = chain
    return prints


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _files(config: Any) -> list[tuple[str, int, int]]:
    """Path, size and time of change of every input file; the sheet's content counts as well."""
    from scdiff.steps.load import plan_inputs

    sources = plan_inputs(config.inputs, samples=config.samples, control=config.control)
    paths = sorted({Path(path) for source in sources for path in source.files} | ({config.samples} if config.samples else set()))
    return [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def _n_unchanged(checkpoints: Checkpoints, prints: Mapping[str, str], start: str | None) -> int:
    """How many finished steps still hold."""
    most = STEPS.index(start) if start else len(STEPS) - 1
    n_done = 0
    for name, entry in zip(STEPS[:most], checkpoints.finished(), strict=False):
        if (entry["step"], entry["fingerprint"]) != (name, prints[name]):
            break
        n_done += 1
    return n_done


def _remove_results(out: Path) -> None:
    """Remove the results of an earlier run."""
    for name in REMOVED_FIRST:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _resumed(checkpoints: Checkpoints, options: Mapping[str, dict[str, Any]], n_done: int, watch: Watch) -> AnnData | None:
    """The object after the finished steps; X is computed anew, which is faster than to store it."""
    if n_done == 0:
        return None
    for entry in checkpoints.finished():
        watch(entry["step"], "resumed", entry["seconds"])
    adata = checkpoints.restore()
    if "normalise" in STEPS[:n_done]:
        step_functions()["normalise"](adata, **options["normalise"])
    return adata


def _run_step(
    adata: AnnData | None, name: str, options: dict[str, Any], fingerprint: str, checkpoints: Checkpoints, watch: Watch
) -> AnnData:
    """Run one step and store its result; the first one makes the object, the others change it in place."""
    watch(name, "started", 0.0)
    begun = time.perf_counter()
    made = step_functions()[name](**({} if adata is None else {"adata": adata}), **options)
    adata = made if adata is None else adata
    seconds = time.perf_counter() - begun
    checkpoints.save(adata, name, fingerprint=fingerprint, seconds=seconds)  # type: ignore[arg-type]
    watch(name, "finished", seconds)
    return adata  # type: ignore[return-value]


def _report(adata: AnnData, config: Any, options: Mapping[str, Any], checkpoints: Checkpoints, out: Path, watch: Watch) -> None:
    """Write what was done, then the report."""
    from scdiff.report import report
    from scdiff.report.versions import versions

    watch("report", "started", 0.0)
    begun = time.perf_counter()
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    adata.uns["scdiff"]["run"] = {
        "options": {name: yaml.safe_dump(json.loads(json.dumps(options[name], default=str)), sort_keys=False) for name in STEPS[:-1]},
        "versions": versions(adata),
        "seconds": {entry["step"]: float(entry["seconds"]) for entry in checkpoints.finished()},
    }
    with replaced(out / "run.yaml") as partial:
        partial.write_text(resolved, encoding="utf-8")
    report(adata, out=out)
    watch("report", "finished", time.perf_counter() - begun)
