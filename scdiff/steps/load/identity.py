"""Who a cell is from: sample, donor, condition and day where tools and people write them. Identity is content like counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Table, some
from scdiff.steps.load.tags import is_no_sample, read_calls
from scdiff.steps.shared.days import DAY, list_unreadable_days, parse_days

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABELS", "as_text", "describe_samples", "looks_like_identity", "own_labels", "rename_columns", "samples_of", "well_of"]

LABELS = "sample"
"""Column about the cells that names their samples."""

_SAMPLE = ("sample", "sampleid", "samplename", "sampleidentifier", "origident")
"""Columns that name samples, as :func:`_folded` writes them, the first that is there; ``orig.ident`` is Seurat's."""

_MEANT = {"donor": ("donor", "donorid", "donorname"), "condition": ("condition",), DAY: (DAY, "days")}
"""What scdiff calls a column -> what others call it."""

_ALIKE = re.compile(
    r"^((sample|donor|patient|subject|individual|participant|library|batch|orig|gem|mouse|animal)(s|id|name|number|no|ident|batch|group|well|uuid)?"
    r"|condition|treatment|stim(ulation)?|lane|channel|replicate|rep|run|pool|plate|arm|group|timepoint|dataset|experiment|day"
    r"|hash(id|tag)?|hto(id|maxid)?|multiid|sampletag(name)?)$"
)
"""Columns that look like samples, donors, conditions or days."""

_WELL = re.compile(r"[ACGT]{8,}-(\d+)$")
_BEFORE = re.compile(r"^(?![ACGTN]+[_:\-#|])(.+?)[_:\-#|][ACGTN]{12,}(-\d+)?$")
_LOOKED_AT = 2_000
"""Barcodes that are asked first whether they carry marks of their sample at all."""


def _folded(name: str) -> str:
    """Write a name of a column without case and signs."""
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def looks_like_identity(name: str) -> bool:
    """Tell whether a column is called like one of samples, donors, conditions or days.

    >>> looks_like_identity("orig.ident"), looks_like_identity("donor_id"), looks_like_identity("leiden")
    (True, True, False)
    """
    return bool(_ALIKE.match(_folded(name)))


def as_text(value: Any) -> str:
    """Write a name that a program stored as a number without the fraction that it never had.

    >>> as_text(7.0), as_text("007"), as_text("1_1")
    ('7', '007', '1_1')
    """
    return str(int(value)) if isinstance(value, (float, np.floating)) and float(value).is_integer() else str(value)


def own_labels(path: Any, columns: Sequence[str], read: Callable[[str], Any], *, exact: bool, key: str = "") -> tuple[str, list[str]]:
    """Find the column that names the samples of a file, and these names, sorted; no names where there is none.

    A column with fewer than two cells per name is no sample column. One that is not called ``sample`` counts only if it names two
    or more samples, so that a file of one sample is called by its own name.

    Parameters
    ----------
    path
        The file, for what there is to say.
    columns, read
        Names of the columns about the cells, and what reads one of them.
    exact
        Whether a column ``sample`` counts whatever it holds.
    key
        Column that the user names; then no other one counts, and it must name samples.

    Raises
    ------
    InputError
        If only some of the cells have a name in ``sample``, or in ``key``.
    ConfigError
        If there is no column ``key``, or it names nearly as many samples as cells.
    """
    import pandas as pd

    if key:
        return key, _asked_labels(path, columns, read, key)
    order = [name for meant in _SAMPLE for name in columns if _folded(name) == meant]
    for name in sorted(order, key=lambda name: name != LABELS):
        column = pd.Series(read(name))
        missing = int(column.isna().sum())
        if name == LABELS and 0 < missing < len(column) and exact:
            raise InputError(
                f'{path}: obs["{LABELS}"] is empty for {missing:,} of {len(column):,} cells: give each cell a sample, or drop the column.'
            )
        known = sorted({as_text(label) for label in column.dropna()})
        known = known if name == LABELS else [label for label in known if not is_no_sample(label)]
        if name == LABELS and exact and missing < len(column):
            return name, known if len(known) <= len(column) / 2 else []
        if not missing and 2 <= len(known) <= len(column) / 2:
            return name, known
    return LABELS, []


def _asked_labels(path: Any, columns: Sequence[str], read: Callable[[str], Any], key: str) -> list[str]:
    """List the samples that the column ``key`` names."""
    import pandas as pd

    if key not in columns:
        raise ConfigError(f"{path}: samples.key is {key!r}, but there is no such column about the cells. {did_you_mean(key, columns)}")
    column = pd.Series(read(key))
    if missing := int(column.isna().sum()):
        raise InputError(f"{path}: the column {key!r} is empty for {missing:,} of {len(column):,} cells: give each cell a sample.")
    labels = sorted({as_text(label) for label in column})
    if len(labels) > max(len(column) / 2, 1):
        raise ConfigError(
            f"{path}: the column {key!r} names {len(labels):,} samples for {len(column):,} cells: name one with fewer, such as of donors."
        )
    return labels


def samples_of(sources: Sequence[Source], table: Table) -> np.ndarray:
    """Name the sample of each cell of one file, shape (n_cells,); empty for one of several samples or of none.

    Raises
    ------
    InputError
        If a cell is of a GEM well that is no sample.
    """
    told_beside = sources[0].wells or sources[0].calls
    if not sources[0].label or (table.obs is None and not told_beside):
        return np.full(len(table.barcodes), sources[0].sample, dtype=object)
    named = {source.label: source.sample for source in sources}
    if sources[0].calls:
        calls = read_calls(sources[0].calls)
        return np.array([named.get(calls.get(name, ""), "") for name in table.barcodes], dtype=object)
    if not sources[0].wells:
        labels = [as_text(label) for label in table.obs[sources[0].column]]  # type: ignore[index]
        return np.array(["" if label not in named and is_no_sample(label) else named[label] for label in labels], dtype=object)
    wells = {well: source.sample for source in sources for well in source.wells}
    found = [well_of(name) for name in table.barcodes]
    if odd := sorted(set(found) - set(wells)):
        raise InputError(
            f"{sources[0].path}: barcodes end in -{odd[0] or '?'}, but {sources[0].column} lists {len(wells)} samples: "
            "give the one of this matrix, or none."
        )
    return np.array([wells[well] for well in found], dtype=object)


def well_of(barcode: str) -> str:
    """Read the number of the GEM well that Cell Ranger writes after a barcode; empty where there is none.

    >>> well_of("AAACCCAAGAAACACT-2"), well_of("cell-2")
    ('2', '')
    """
    found = _WELL.search(barcode)
    return found[1] if found else ""


def describe_samples(sources: Sequence[Source]) -> list[str]:
    """Say where the samples of one file come from, where it holds several."""
    if len(sources) < 2 or not sources[0].label:
        return []
    return [f"{len(sources)} samples from {_where(sources[0])} ({some([source.label for source in sources], 6)})."]


def _where(source: Source) -> str:
    """Say what tells the samples of a file apart."""
    if source.wells or source.calls:
        return source.column
    if source.layout.is_folder:
        return f"{PurePath(source.members[1]).name if source.members else source.files[1].name} column {source.column}"
    return f'obs["{source.column}"]'


def rename_columns(obs: pd.DataFrame, samples: np.ndarray, barcodes: np.ndarray, taken: Iterable[str]) -> tuple[pd.DataFrame, list[str]]:
    """Give columns about the cells the names that scdiff reads, and say which look like samples or donors and are not used.

    Parameters
    ----------
    obs
        Columns about the cells that the file gives.
    samples, barcodes
        Sample and name of each cell, shape (n_cells,).
    taken
        Columns that the sample sheet gives.
    """
    obs, notes = obs.copy(deep=False), []
    for meant in _MEANT:
        if meant in taken:
            continue
        source = _source_of(obs, meant, samples)
        if source is None:
            continue
        if source != meant:
            notes.append(f"obs[{source!r}] was taken for the {meant} of the cells.")
        obs[meant], said = _readable(obs[source], meant)
        notes += said
    return obs, [*notes, *_unused(obs, samples), *_pooled_names(samples, barcodes)]


def _source_of(obs: pd.DataFrame, meant: str, samples: np.ndarray) -> str | None:
    """Find the column that gives the donor, condition or day; one by another name must give each sample one value."""
    if meant in obs:
        return meant
    alike = [str(name) for known in _MEANT[meant] for name in obs if _folded(str(name)) == known]
    return next((name for name in alike if _most_within(obs[name], samples)[0] == 1), None)


def _readable(column: pd.Series, meant: str) -> tuple[pd.Series, list[str]]:
    """Write a day as a number, a donor or condition as text; a column of which no day can be read stays."""
    import pandas as pd

    if meant != DAY:
        values = column.astype(object)
        return values.where(values.isna(), values.map(as_text)), []
    read, odd = parse_days(column), list_unreadable_days(column.dropna().unique())
    said = [f'obs["{column.name}"] holds what cannot be read as a day ({some(odd)}): these cells have no day.'] if odd else []
    return (column if np.isnan(read).all() else pd.Series(read, index=column.index)), said


def _most_within(column: pd.Series, samples: np.ndarray) -> tuple[int, str]:
    """Largest number of values that a column has within one sample, and that sample; 0 where it has none."""
    codes = column.astype(object).groupby(samples, observed=True).nunique()
    return (int(codes.max()), str(codes.idxmax())) if len(codes) else (0, "")


def _unused(obs: pd.DataFrame, samples: np.ndarray) -> list[str]:
    """Say which columns look like samples, donors or batches of which one sample holds several."""
    found: dict[str, tuple[int, str]] = {}
    for name in obs:
        column = obs[name]
        if not looks_like_identity(str(name)) or column.dtype.kind == "f" or str(name) == "donor":
            continue
        most, sample = _most_within(column, samples)
        if 2 <= most <= len(column) / 2:
            found[str(name)] = most, sample
    if not found:
        return []
    listed = ", ".join(f"obs[{name!r}] ({most} values in sample {sample!r})" for name, (most, sample) in found.items())
    cure = 'write the right column to obs["sample"] to tell them apart'
    return [f"What looks like samples, donors or batches is not used: {listed}. Cells that differ in it count as one sample; {cure}."]


def _pooled_names(samples: np.ndarray, barcodes: np.ndarray) -> list[str]:
    """Say where barcodes carry the marks of several GEM wells or samples within one sample."""
    notes = []
    some_of_them = barcodes[:: max(1, len(barcodes) // _LOOKED_AT)]
    for kind, tell in (("end in the numbers of", well_of), ("begin with the names of", _before)):
        if len({tell(str(name)) for name in some_of_them}) < 2:
            continue
        marks = np.array([tell(str(name)) for name in barcodes], dtype=object)
        for sample in dict.fromkeys(samples) if (marks != "").all() and len(set(marks)) > 1 else ():
            inside = list(dict.fromkeys(marks[samples == sample]))
            if 2 <= len(inside) <= (samples == sample).sum() / 2:
                notes.append(
                    f"Barcodes of sample {sample!r} {kind} {len(inside)} wells or samples ({some(inside)}), which count as one sample: "
                    'give each its own file, or its name in obs["sample"].'
                )
    return notes


def _before(barcode: str) -> str:
    """Return what stands before a barcode in the name of a cell; empty for nothing."""
    found = _BEFORE.match(barcode)
    return found[1] if found else ""
