"""Find what changed since a decision was written, and decide everything again from the tables."""

from __future__ import annotations

from pathlib import Path

from scdiff.batches.evidence import Evidence, hash_file, read_evidence
from scdiff.batches.record import Release, Result, Sheet, read_release, release_csv
from scdiff.batches.release import PAGE, RECORD, SUMS, TABLE, judge_sheet, sums_text
from scdiff.batches.specification import Written, read_specification
from scdiff.errors import InputError, ScdiffError

__all__ = ["verify_release"]


def verify_release(out: Path) -> list[str]:
    """Say what is not as it was when the decision was written; empty where everything is.

    Every file is hashed and held to ``release.sha256`` and ``release.json``; every decision is
    done again from the tables and the copies of the specifications, and held to the record. Who
    changes tables, record and hashes together leaves no trace: keep a copy of ``release.sha256``
    elsewhere, or print the page, which shows the hash of each specification and input.

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
        raise InputError(f"{out}: holds no {RECORD}. Give --out the folder of a decision.")
    try:
        release = read_release(out / RECORD)
    except InputError as error:
        return [str(error)]
    found = _changed_trail(release, out)
    found += [
        said
        for source in release.specifications
        for said in _changed_origin(source.origin, source.sha256)
    ]
    results = {result.batch: _changed_files(result, out) for result in release.results}
    found += [said for changes in results.values() for said in changes]
    return found + _other_decisions(release, out)


def _changed_trail(release: Release, out: Path) -> list[str]:
    """Compare the files of the record with the list of hashes."""
    names = [RECORD, TABLE, PAGE, *(source.file for source in release.specifications)]
    absent = [name for name in [*names, SUMS] if not (out / name).is_file()]
    if absent:
        return [f"{out / name}: is gone." for name in absent]
    expected, listed = (
        sums_text(out, names).encode().splitlines(),
        (out / SUMS).read_bytes().splitlines(),
    )
    changed = [line.split(b"  ", 1)[1].decode() for line in expected if line not in listed]
    found = [f"{out / name}: is not what was written." for name in changed]
    found += [
        f"{out / source.file}: is not the specification of the record."
        for source in release.specifications
        if hash_file(out / source.file) != source.sha256
    ]
    if not found and (out / SUMS).read_bytes() != sums_text(out, names).encode():
        found.append(f"{out / SUMS}: is not what was written.")
    if (out / TABLE).read_bytes() != release_csv(release).encode():
        found.append(f"{out / TABLE}: does not say what {RECORD} says.")
    return found


def _changed_origin(origin: str, sha256: str) -> list[str]:
    """Hold the specification that was given to its hash, where it still lies there."""
    path = Path(origin)
    if origin.startswith("scdiff:") or not path.is_file() or hash_file(path) == sha256:
        return []
    return [f"{path}: the specification has changed since the decision."]


def _changed_files(result: Result, out: Path) -> list[str]:
    """Hold the tables of a result to their hashes."""
    folder = out / result.folder
    if not folder.is_dir():
        return [f"{folder}: the result is gone."]
    paths = {
        path.relative_to(folder).as_posix()
        for path in (folder / "tables").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    found = [
        f"{folder / name}: was not there when the decision was written."
        for name in sorted(paths - set(result.files))
    ]
    for name, sha256 in result.files.items():
        if not (folder / name).is_file():
            found.append(f"{folder / name}: is gone.")
        elif hash_file(folder / name) != sha256:
            found.append(f"{folder / name}: is not what was judged.")
    return found


def _other_decisions(release: Release, out: Path) -> list[str]:
    """Judge every sheet again and say which lines come out otherwise."""
    found = []
    for sheet in release.sheets:
        try:
            again = judge_sheet(
                _evidence(release, sheet, out), _specification(release, sheet, out), advice=False
            )
        except ScdiffError as error:
            found.append(
                f"{sheet.batch} by {sheet.specification} {sheet.version}: cannot be judged "
                f"again: {error}"
            )
            continue
        found += _differences(sheet, again)
    return found


def _evidence(release: Release, sheet: Sheet, out: Path) -> Evidence:
    """Read the result of a sheet again."""
    result = next((result for result in release.results if result.batch == sheet.batch), None)
    if result is None:
        raise InputError(f"the record names no result of {sheet.batch}.")
    return read_evidence(out / result.folder, batch=sheet.batch)


def _specification(release: Release, sheet: Sheet, out: Path) -> Written:
    """Read the copy of the specification of a sheet."""
    label = (sheet.specification, sheet.version)
    source = next(
        (source for source in release.specifications if (source.name, source.version) == label),
        None,
    )
    if source is None or not (out / source.file).is_file():
        raise InputError(f"the specification {' '.join(label)} is not in the folder of the record.")
    return read_specification((out / source.file).read_bytes(), str(out / source.file))


def _differences(sheet: Sheet, again: Sheet) -> list[str]:
    """Compare a sheet of the record with the one judged again; advice is left out."""
    head = f"{sheet.batch} by {sheet.specification} {sheet.version}"
    lines = [line.model_copy(update={"advice": ""}) for line in sheet.judgements]
    if len(lines) != len(again.judgements):
        count = len(again.judgements)
        return [f"{head}: the record has {len(lines)} lines, but {count} are judged now."]
    found = [
        f"{head}: {old.id} ({old.sample}) stands as {old.decision} in the record, but the "
        f"tables give {new.decision}, or other figures."
        for old, new in zip(lines, again.judgements, strict=True)
        if old != new
    ]
    if sheet.decision != again.decision:
        found.append(f"{head}: stands as {sheet.decision}, but the tables give {again.decision}.")
    return found
