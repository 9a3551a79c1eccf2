"""Verify a release decision: find changed files, and repeat every decision from the tables."""

from __future__ import annotations

from pathlib import Path

from scdiff.batches.evidence import Evidence, hash_file, read_evidence
from scdiff.batches.record import Release, Result, Sheet, read_release, release_csv
from scdiff.batches.release import PAGE, RECORD, SUMS, TABLE, judge_sheet, sums_text
from scdiff.batches.specification import Written, read_specification
from scdiff.errors import InputError, ScdiffError

__all__ = ["verify_release"]


def verify_release(out: Path) -> list[str]:
    """Return a sentence for each change since the decision; empty if nothing changed.

    The hash of every file is compared with ``release.sha256`` and ``release.json``. Every decision
    is repeated from the tables and the copies of the specifications, and compared with the record.
    A person who changes tables, record and hashes together leaves no trace in the folder. Keep a
    copy of ``release.sha256`` elsewhere, register the decision in a history, or print the page,
    which shows the hashes of the record, and of each specification and input.

    Parameters
    ----------
    out
        Folder of the record.

    Raises
    ------
    InputError
        If there is no record in the folder.
    """
    if not (out / RECORD).is_file():
        raise InputError(f"{out}: {RECORD} is missing. Give --out the folder of a decision.")
    try:
        release = read_release(out / RECORD)
    except InputError as error:
        return [str(error)]
    found = _check_trail(release, out)
    for source in release.specifications:
        found += _check_origin(source.origin, source.sha256)
    for result in release.results:
        found += _check_files(result, out)
    return found + _repeat_decisions(release, out)


def _check_trail(release: Release, out: Path) -> list[str]:
    """Compare the files of the record with the list of hashes; return the changes."""
    names = [RECORD, TABLE, PAGE, *(source.file for source in release.specifications)]
    absent = [name for name in [*names, SUMS] if not (out / name).is_file()]
    if absent:
        return [f"{out / name}: this file is missing." for name in absent]
    expected, listed = (
        sums_text(out, names).encode().splitlines(),
        (out / SUMS).read_bytes().splitlines(),
    )
    changed = [line.split(b"  ", 1)[1].decode() for line in expected if line not in listed]
    found = [f"{out / name}: this file was changed." for name in changed]
    found += [
        f"{out / source.file}: this is not the specification of the record."
        for source in release.specifications
        if hash_file(out / source.file) != source.sha256
    ]
    if not found and (out / SUMS).read_bytes() != sums_text(out, names).encode():
        found.append(f"{out / SUMS}: this file was changed.")
    if (out / TABLE).read_bytes() != release_csv(release).encode():
        found.append(f"{out / TABLE}: this table differs from {RECORD}.")
    return found


def _check_origin(origin: str, sha256: str) -> list[str]:
    """Compare the original specification with its hash, if the file still exists."""
    path = Path(origin)
    if origin.startswith("scdiff:") or not path.is_file() or hash_file(path) == sha256:
        return []
    return [f"{path}: the specification has changed since the decision."]


def _check_files(result: Result, out: Path) -> list[str]:
    """Compare the files of a result with their hashes; return the changes."""
    folder = out / result.folder
    if not folder.is_dir():
        return [f"{folder}: the folder of the result is missing."]
    paths = {
        path.relative_to(folder).as_posix()
        for path in (folder / "tables").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    found = [
        f"{folder / name}: this file was added after the decision."
        for name in sorted(paths - set(result.files))
    ]
    for name, sha256 in result.files.items():
        if not (folder / name).is_file():
            found.append(f"{folder / name}: this file is missing.")
        elif hash_file(folder / name) != sha256:
            found.append(f"{folder / name}: this file was changed after the decision.")
    return found


def _repeat_decisions(release: Release, out: Path) -> list[str]:
    """Repeat the decision of every sheet; return the lines that differ."""
    found = []
    for sheet in release.sheets:
        try:
            again = judge_sheet(
                _read_result(release, sheet, out), _read_copy(release, sheet, out), advice=False
            )
        except ScdiffError as error:
            found.append(
                f"{sheet.batch} by {sheet.specification} {sheet.version}: the decision cannot be "
                f"repeated: {error}"
            )
            continue
        found += _compare_sheets(sheet, again)
    return found


def _read_result(release: Release, sheet: Sheet, out: Path) -> Evidence:
    """Read the result of a sheet again."""
    result = next((result for result in release.results if result.batch == sheet.batch), None)
    if result is None:
        raise InputError(f"the record has no result of {sheet.batch}.")
    return read_evidence(out / result.folder, batch=sheet.batch)


def _read_copy(release: Release, sheet: Sheet, out: Path) -> Written:
    """Read the copy of the specification of a sheet."""
    label = (sheet.specification, sheet.version)
    source = next(
        (source for source in release.specifications if (source.name, source.version) == label),
        None,
    )
    if source is None or not (out / source.file).is_file():
        raise InputError(f"the specification {' '.join(label)} is not in the folder of the record.")
    return read_specification((out / source.file).read_bytes(), str(out / source.file))


def _compare_sheets(sheet: Sheet, again: Sheet) -> list[str]:
    """Compare decisions and figures of a sheet with the repeated ones.

    Sentences may be worded differently by a later version; the hashes protect those of the record.
    """
    head = f"{sheet.batch} by {sheet.specification} {sheet.version}"
    if len(sheet.judgements) != len(again.judgements):
        count = len(again.judgements)
        return [
            f"{head}: the record has {len(sheet.judgements)} lines, but the tables give {count}."
        ]
    wording = {"advice": "", "why": ""}
    found = [
        f"{head}: {old.id} ({old.sample}) is {old.decision} in the record, but the tables give "
        f"{new.decision}, or other figures."
        for old, new in zip(sheet.judgements, again.judgements, strict=True)
        if old.model_copy(update=wording) != new.model_copy(update=wording)
    ]
    if sheet.decision != again.decision:
        found.append(
            f"{head}: the record says {sheet.decision}, but the tables give {again.decision}."
        )
    return found
