"""Decide finished runs against specifications, and write the record that a QC lead signs."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scdiff import __version__
from scdiff.batches.advice import advise
from scdiff.batches.decide import EXIT_CODES, Figure, decide, worst
from scdiff.batches.evidence import Evidence, hash_file, read_evidence
from scdiff.batches.figures import QC_FIGURES
from scdiff.batches.readouts import Reading, check_read_outs, read_figures
from scdiff.batches.record import (
    Judgement,
    Release,
    Result,
    Sheet,
    Source,
    decision_of,
    read_release,
    release_csv,
    release_json,
)
from scdiff.batches.specification import Check, Written, load_specification, refuse_double
from scdiff.errors import ConfigError
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.checkpoint import Checkpoints
from scdiff.vocabulary import POOLED

__all__ = ["RECORD", "SUMS", "judge_sheet", "release_batches"]

RECORD, TABLE, PAGE, SUMS = "release.json", "release.csv", "release.html", "release.sha256"
"""Files in the folder of a decision."""


def release_batches(
    results: Sequence[Path],
    specifications: Sequence[str | Path],
    out: Path,
    *,
    batches: Sequence[str] = (),
    seed: int = 0,
) -> Release:
    """Decide results against specifications, and write the record.

    The files are ``release.html``, ``release.json``, ``release.csv`` and ``release.sha256``.
    Nothing is decided or written unless every specification and every result can be read.

    Parameters
    ----------
    results
        Output folders of ``scdiff run``.
    specifications
        Paths of YAML files, or names of shipped ones.
    out
        Folder of the record.
    batches
        Names of the batches, one for each result; empty: the names of the folders.
    seed
        Seed of the random generator of the plan.

    Raises
    ------
    ConfigError
        If results or specifications are missing, a batch name is used twice, or two different
        specifications have the same name and version.
    ScdiffError
        If a specification or a result cannot be used.
    """
    written = [load_specification(name) for name in specifications]
    evidence = _read_results(results, batches)
    if not written or not evidence:
        raise ConfigError("give at least one result and one specification (--spec).")
    before = read_release(out / RECORD) if (out / RECORD).exists() else None
    refuse_double(written, _list_hashes(before))
    for found in evidence:
        for one in written:
            check_read_outs([*one.content.suitability, *one.content.criteria], found)
    release = _judge_all(
        evidence, written, out, replaces=hash_file(out / RECORD) if before else "", seed=seed
    )
    with Checkpoints(out).locked():
        _write(release, written, out)
    return release


def _read_results(results: Sequence[Path], batches: Sequence[str]) -> list[Evidence]:
    """Read the results; raise ConfigError if two have the same batch name."""
    if batches and len(batches) != len(results):
        raise ConfigError(
            f"{len(batches)} names (--batch) for {len(results)} results: give one name for each "
            "result, in the same order."
        )
    found = [
        read_evidence(Path(folder), batch=name)
        for folder, name in zip(results, batches or [""] * len(results), strict=True)
    ]
    names = [evidence.batch for evidence in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two results have the batch name {twice!r}: give each a name with --batch, in the "
            "order of the results."
        )
    return found


def _list_hashes(before: Release | None) -> dict[str, str]:
    """Return the hashes of the specifications of an earlier record, by name and version."""
    return (
        {f"{source.name} {source.version}": source.sha256 for source in before.specifications}
        if before
        else {}
    )


def _judge_all(
    evidence: Sequence[Evidence], written: Sequence[Written], out: Path, *, replaces: str, seed: int
) -> Release:
    """Decide every result against every specification."""
    unique = {one.label: one for one in written}
    sheets = [judge_sheet(found, one, seed=seed) for found in evidence for one in unique.values()]
    decision = worst(sheet.decision for sheet in sheets)
    return Release(
        scdiff=__version__,
        judged=datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        decision=decision,
        exit_code=EXIT_CODES[decision],
        specifications=[_describe_specification(one) for one in unique.values()],
        results=[_describe_result(found, out) for found in evidence],
        sheets=sheets,
        replaces=replaces,
    )


def _describe_specification(written: Written) -> Source:
    """Return a specification as it is in the record."""
    content = written.content
    return Source(
        name=content.name,
        version=content.version,
        title=content.title,
        sha256=written.sha256,
        origin=written.origin,
        file=written.file,
    )


def _describe_result(found: Evidence, out: Path) -> Result:
    """Return a result as it is in the record.

    Its folder is relative to the record, so that both can be moved together.
    """
    inputs = [{name: row[name] for name in ("sample", "path", "sha256")} for row in found.inputs]
    return Result(
        batch=found.batch,
        folder=Path(os.path.relpath(found.folder.resolve(), out.resolve())).as_posix(),
        version=found.version,
        is_other_version=found.is_other_version,
        files=found.files,
        inputs=inputs,
    )


def judge_sheet(found: Evidence, written: Written, *, advice: bool = True, seed: int = 0) -> Sheet:
    """Decide one result against one specification.

    Parameters
    ----------
    found
        The result.
    written
        The specification, after :func:`scdiff.batches.readouts.check_read_outs`.
    advice
        Whether to add advice to the undecided lines.
    seed
        Seed of the random generator of the plan.
    """
    content, lines = written.content, []
    for part, checks in (("suitability", content.suitability), ("criterion", content.criteria)):
        for check in checks:
            lines += [_judge_line(check, reading, part) for reading in read_figures(check, found)]
            if advice and part == "criterion":
                _add_advice(lines, check, found, seed)
    return Sheet(
        batch=found.batch,
        specification=content.name,
        version=content.version,
        decision=decision_of(lines),
        judgements=lines,
    )


def _judge_line(check: Check, reading: Reading, part: str) -> Judgement:
    """Return the line of one figure in the record."""
    figure = reading.figure
    decision, why = _decide_line(check, figure, part)
    numbers = {name: _drop_infinite(getattr(figure, word)) for name, word in _NUMBERS.items()}
    copied = check.model_dump(include=_COPIED)
    texts = {"sample": reading.sample, "verdict": figure.verdict, "text": figure.text}
    decided = {"part": part, "decision": decision, "why": why, "advice": ""}
    return Judgement.model_validate(copied | numbers | texts | decided)


def _decide_line(check: Check, figure: Figure, part: str) -> tuple[str, str]:
    """Return decision and reason of a figure; an unmet suitability criterion is INVALID."""
    if not check.allowed and check.at_least is None and check.at_most is None:
        return "REPORTED", "the specification sets no limit"
    if not check.required and not figure.text and not math.isfinite(figure.value):
        return "NOT MEASURED", "the run has no such figure, and it is not required"
    decision, why = decide(figure, check.limits)
    return ("INVALID" if part == "suitability" and decision != "PASS" else decision), why


_NUMBERS = {"figure": "value", "low": "low", "high": "high", "lod": "lod"}
_COPIED = {
    "id",
    "title",
    "kind",
    "read_out",
    "unit",
    "at_least",
    "at_most",
    "allowed",
    "judge",
    "source",
}


def _add_advice(lines: list[Judgement], check: Check, found: Evidence, seed: int) -> None:
    """Add advice to the last lines, those of one check, if they are undecided."""
    readings = read_figures(check, found)
    for at, reading in enumerate(readings, start=len(lines) - len(readings)):
        if lines[at].decision == "CANNOT TELL":
            depth = QC_FIGURES["median_umi"].function(found, reading.sample or POOLED)
            lines[at] = lines[at].model_copy(
                update={"advice": advise(check, reading, depth=depth, seed=seed)}
            )


def _drop_infinite(value: float) -> float | None:
    """Return a number for JSON: None if it is not finite."""
    return value if math.isfinite(value) else None


def _write(release: Release, written: Sequence[Written], out: Path) -> None:
    """Write the files of the record; the list of hashes is the last."""
    from scdiff.batches.page import render_release

    contents = {one.file: one.data for one in written}
    contents |= {
        PAGE: render_release(release, written).encode(),
        TABLE: release_csv(release).encode(),
    }
    contents[RECORD] = release_json(release).encode()
    for name, data in contents.items():
        with replace_atomically(out / name) as partial:
            partial.write_bytes(data)
    with replace_atomically(out / SUMS) as partial:
        partial.write_text(sums_text(out, list(contents)), encoding="utf-8")


def sums_text(out: Path, names: Sequence[str]) -> str:
    """Return hashes and names of files in the format of ``sha256sum --check``."""
    return "".join(f"{hash_file(out / name)}  {name}\n" for name in sorted(names))
