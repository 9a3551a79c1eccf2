"""From paths and a sample sheet to a list of sources, without reading a matrix."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.identity import LABELS
from scdiff.steps.load.keyed import by_key, sheet_and_key
from scdiff.steps.load.plan.folder import find_sources
from scdiff.steps.load.plan.sheet import Row, read_sheet
from scdiff.steps.load.soup import find_raw_matrix
from scdiff.steps.load.source import Layout, Source
from scdiff.vocabulary import POOLED

__all__ = ["Source", "plan_inputs"]


def plan_inputs(
    inputs: Sequence[Path | str] | Path | str,
    *,
    samples: Path | str | Mapping[str, Any] | None = None,
    control: Sequence[str] = (),
) -> list[Source]:
    """List what there is to load, and check everything that needs no matrix.

    Use it to test a command line or a sample sheet before a long run; :func:`load` starts with it.
    A folder with several prefixed matrices, and an h5ad with ``obs["sample"]``, give several
    sources.

    Parameters
    ----------
    inputs
        Files and folders; may be empty if the sheet has the column ``path``.
    samples
        Sample sheet (csv, tsv or xlsx) with the column ``sample`` and any of
        ``path,raw,donor,condition,day,control,...``. Paths are relative to the sheet. With
        ``inputs`` it must describe each of their samples. Or a mapping with ``key``, the column
        about the cells that names their samples, as in ``{"key": "donor_id"}``, and optionally
        the ``sheet``.
    control
        Names of samples that hold no positive cell, in addition to those that the sheet marks.

    Raises
    ------
    InputError
        If an input is missing, damaged or of an unknown layout.
    ConfigError
        If there is nothing to load, an input is given twice, ``control`` names an unknown sample,
        a file has no column ``key``, or the sheet has errors; all errors of the sheet are listed,
        one per line.
    """
    paths = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(path) for path in inputs]
    sheet, key = sheet_and_key(samples)
    if not paths and sheet is None:
        raise ConfigError("there is nothing to load: give files or folders, or a sample sheet.")
    _refuse_twice(paths)
    groups = {_resolve(path): _expand(path, key) for path in paths}
    sources = (
        _join_sheet(sheet, groups, key)
        if sheet is not None
        else [source for group in groups.values() for source in group]
    )
    named = _number_names(sources)
    _refuse_pooled_name(named)
    return _mark_controls(named, [control] if isinstance(control, str) else control)


def _resolve(path: Path) -> Path:
    """Resolve links in a path; links in a circle stay as they are."""
    return Path(os.path.realpath(path))


def _refuse_pooled_name(sources: Sequence[Source]) -> None:
    """Raise an error if a sample has the name of the row that pools all samples."""
    for source in sources:
        if source.sample == POOLED:
            raise ConfigError(
                f"{source.path}: a sample is named 'all', the name of the pooled row of the "
                "results. Rename the sample."
            )


def _refuse_twice(paths: Sequence[Path]) -> None:
    """Raise an error if the same input is given twice: its cells would count twice."""
    resolved = [_resolve(path) for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise ConfigError(
                f"{paths[place]}: this input is given twice. Give each file or folder once."
            )


def _expand(path: Path, key: str) -> list[Source]:
    """Find the sources of one file or folder, by the column ``key`` if it is given.

    A single source gets the unfiltered matrix next to it.
    """
    sources, raw = find_sources(path), find_raw_matrix(path)
    sources = by_key(sources, key) if key else sources
    if raw is None or len(sources) > 1:
        return sources
    return [replace(sources[0], raw=_find_raw(raw))]


def _find_raw(path: Path) -> Source:
    """Find the one unfiltered matrix at a path."""
    sources = find_sources(path)
    if len(sources) > 1:
        raise InputError(
            f"{path}: a sample has one unfiltered matrix, but there are {len(sources)} here. "
            "Give the path of the right one."
        )
    return sources[0]


def _number_names(sources: Sequence[Source]) -> list[Source]:
    """Add a number to repeated names."""
    named: dict[str, Source] = {}
    for source in sources:
        name, number = source.sample, 2
        while name in named:
            name, number = f"{source.sample}_{number}", number + 1
        named[name] = replace(source, sample=name)
    return list(named.values())


def _mark_controls(sources: list[Source], control: Sequence[str]) -> list[Source]:
    """Mark the declared negative controls."""
    known = [source.sample for source in sources]
    for name in control:
        if name not in known:
            raise ConfigError(f"control: there is no sample {name!r}. {did_you_mean(name, known)}")
    return [
        replace(source, control=source.control or source.sample in control) for source in sources
    ]


def _join_sheet(sheet: Path, groups: dict[Path, list[Source]], key: str) -> list[Source]:
    """Join the rows of the sheet with the sources of the inputs, or of its own paths."""
    rows, faults = read_sheet(sheet)
    if not groups:
        faults += [
            f"line {row.line}: sample {row.sample!r} has no path, and no inputs are given."
            for row in rows
            if row.path is None
        ]
        rows = [row for row in rows if row.path is not None]
        groups = _find_row_sources(rows, faults, key)
    if not key:
        groups = {
            path: _merge_if_described(
                group, [row for row in rows if row.path and _resolve(row.path) == path]
            )
            for path, group in groups.items()
        }
    joined: dict[int, Source] = {}
    for row in rows:
        _match_row(row, groups, joined, faults)
    flat = [source for group in groups.values() for source in group]
    faults += [
        f"sample {source.sample!r} of {source.path} has no row in the sheet."
        for source in flat
        if id(source) not in joined
    ]
    if faults:
        raise ConfigError("\n".join(f"{sheet}: {fault}" for fault in faults))
    return [joined[id(source)] for source in flat]


def _merge_if_described(group: list[Source], rows: Sequence[Row]) -> list[Source]:
    """Treat a file as one sample if the sheet does.

    This does not apply if a column named ``sample`` of an h5ad distinguishes samples.
    """
    may_merge = len(group) > 1 and all(
        source.label and (source.column, source.layout) != (LABELS, Layout.H5AD) for source in group
    )
    if not may_merge or len(rows) != 1 or rows[0].sample in [source.label for source in group]:
        return group
    return [replace(group[0], sample=rows[0].sample, label="", column=LABELS, wells=())]


def _find_row_sources(rows: Sequence[Row], faults: list[str], key: str) -> dict[Path, list[Source]]:
    """Find the sources of the paths in the sheet; an unusable path gives no sources."""
    groups: dict[Path, list[Source]] = {}
    for row in rows:
        if row.path is None or _resolve(row.path) in groups:
            continue
        try:
            groups[_resolve(row.path)] = _expand(row.path, key)
        except (ConfigError, InputError) as error:
            groups[_resolve(row.path)] = []
            faults.append(f"line {row.line}: {error}")
    return groups


def _match_row(
    row: Row, groups: Mapping[Path, list[Source]], joined: dict[int, Source], faults: list[str]
) -> None:
    """Enter the source that a row describes in ``joined``, or add an error to ``faults``."""
    everywhere = [source for group in groups.values() for source in group]
    group = everywhere if row.path is None else groups.get(_resolve(row.path))
    if group is None:
        faults.append(
            f"line {row.line}: {row.path} is not among the inputs. Add it, or give no inputs to "
            "load the whole sheet."
        )
        return
    free = [source for source in group if id(source) not in joined]
    # the sheet may rename the only sample of a file
    alone = free if row.path is not None and len(group) == 1 else []
    found = [source for source in free if source.sample == row.sample] or alone
    if found:
        raw = found[0].raw
        try:
            raw = raw if row.raw is None else _find_raw(row.raw)
        except InputError as error:
            faults.append(f"line {row.line}: {error}")
        joined[id(found[0])] = replace(
            found[0],
            sample=row.sample,
            fields=row.fields,
            raw=raw,
            control=row.control,
            positive_control=row.positive_control,
        )
    elif group or row.path is None:
        known = (
            did_you_mean(row.sample, [source.sample for source in free])
            if free
            else "Every sample already has a row."
        )
        faults.append(
            f"line {row.line}: there is no sample {row.sample!r} in {row.path or 'the inputs'}. "
            f"{known}"
        )
