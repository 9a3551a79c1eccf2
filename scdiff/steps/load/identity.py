"""The origin of each cell: sample, donor, condition and day, as tools and people write them.

A wrong origin is as harmful as a wrong count.
"""

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

__all__ = [
    "LABELS",
    "as_text",
    "assign_samples",
    "describe_samples",
    "looks_like_identity",
    "own_labels",
    "read_well",
    "rename_columns",
]

LABELS = "sample"
"""Column about the cells that names their samples."""

_SAMPLE = ("sample", "sampleid", "samplename", "sampleidentifier", "origident")
"""Columns that name samples, as :func:`_fold_name` writes them; the first of these that is present
is used. ``orig.ident`` is Seurat's."""

_MEANT = {
    "donor": ("donor", "donorid", "donorname"),
    "condition": ("condition",),
    DAY: (DAY, "days"),
}
"""Name of a column in scdiff -> other names for it."""

_ALIKE = re.compile(
    r"^((sample|donor|patient|subject|individual|participant|library|batch|orig|gem|mouse|animal)"
    r"(s|id|name|number|no|ident|batch|group|well|uuid)?"
    r"|condition|treatment|stim(ulation)?|lane|channel|replicate|rep|run|pool|plate|arm|group|timepoint|dataset|experiment|day"
    r"|hash(id|tag)?|hto(id|maxid)?|multiid|sampletag(name)?)$"
)
"""Names of columns that look like samples, donors, conditions or days."""

_WELL = re.compile(r"[ACGT]{8,}-(\d+)$")
_BEFORE = re.compile(r"^(?![ACGTN]+[_:\-#|])(.+?)[_:\-#|][ACGTN]{12,}(-\d+)?$")
_LOOKED_AT = 2_000
"""Number of barcodes sampled to find out whether barcodes carry marks of their sample. Chosen, not
tuned."""


def _fold_name(name: str) -> str:
    """Remove case and punctuation from the name of a column."""
    return re.sub(r"[^a-z0-9]", "", str(name).casefold())


def looks_like_identity(name: str) -> bool:
    """Check whether a column has a name for samples, donors, conditions or days.

    >>> [looks_like_identity(name) for name in ("orig.ident", "donor_id", "leiden")]
    [True, True, False]
    """
    return bool(_ALIKE.match(_fold_name(name)))


def as_text(value: Any) -> str:
    """Write a name as text; if a program stored a whole number as a float, without the ``.0``.

    >>> as_text(7.0), as_text("007"), as_text("1_1")
    ('7', '007', '1_1')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def own_labels(
    path: Any, columns: Sequence[str], read: Callable[[str], Any], *, exact: bool, key: str = ""
) -> tuple[str, list[str]]:
    """Find the column that names the samples of a file, and its names, sorted.

    There are no names if no column qualifies. A column with fewer than two cells per name is not a
    sample column. A column with another name than ``sample`` qualifies only if it names two or more
    samples, so that a file of one sample keeps its own name.

    Parameters
    ----------
    path
        The file, for messages.
    columns, read
        Names of the columns about the cells, and a function that reads one of them.
    exact
        Whether a column ``sample`` qualifies whatever it holds.
    key
        Column that the user names. Then no other column qualifies, and it must name samples.

    Raises
    ------
    InputError
        If only some of the cells have a name in ``sample``, or in ``key``.
    ConfigError
        If there is no column ``key``, or it names nearly as many samples as cells.
    """
    import pandas as pd

    if key:
        return key, _read_named_labels(path, columns, read, key)
    order = [name for meant in _SAMPLE for name in columns if _fold_name(name) == meant]
    for name in sorted(order, key=lambda name: name != LABELS):
        column = pd.Series(read(name))
        missing = int(column.isna().sum())
        if name == LABELS and 0 < missing < len(column) and exact:
            raise InputError(
                f'{path}: obs["{LABELS}"] is empty for {missing:,} of {len(column):,} cells. '
                "Give each cell a sample, or drop the column."
            )
        known = sorted({as_text(label) for label in column.dropna()})
        known = known if name == LABELS else [label for label in known if not is_no_sample(label)]
        if name == LABELS and exact and missing < len(column):
            return name, known if len(known) <= len(column) / 2 else []
        if not missing and 2 <= len(known) <= len(column) / 2:
            return name, known
    return LABELS, []


def _read_named_labels(
    path: Any, columns: Sequence[str], read: Callable[[str], Any], key: str
) -> list[str]:
    """List the samples in the column ``key``."""
    import pandas as pd

    if key not in columns:
        raise ConfigError(
            f"{path}: samples.key is {key!r}, but there is no such column about the cells. "
            f"{did_you_mean(key, columns)}"
        )
    column = pd.Series(read(key))
    if missing := int(column.isna().sum()):
        raise InputError(
            f"{path}: the column {key!r} is empty for {missing:,} of {len(column):,} cells: "
            "give each cell a sample."
        )
    labels = sorted({as_text(label) for label in column})
    if len(labels) > max(len(column) / 2, 1):
        raise ConfigError(
            f"{path}: the column {key!r} names {len(labels):,} samples for {len(column):,} cells: "
            "name one with fewer, such as of donors."
        )
    return labels


def assign_samples(sources: Sequence[Source], table: Table) -> np.ndarray:
    """Return the sample of each cell of one file, shape (n_cells,).

    The name is empty for a cell of several samples or of none.

    Raises
    ------
    InputError
        If the GEM well of a cell belongs to no sample.
    """
    has_list = sources[0].wells or sources[0].calls
    if not sources[0].label or (table.obs is None and not has_list):
        return np.full(len(table.barcodes), sources[0].sample, dtype=object)
    named = {source.label: source.sample for source in sources}
    if sources[0].calls:
        calls = read_calls(sources[0].calls)
        found = [named.get(calls.get(name, ""), "") for name in table.barcodes]
        return np.array(found, dtype=object)
    if not sources[0].wells:
        labels = [as_text(label) for label in table.obs[sources[0].column]]  # type: ignore[index]
        unnamed = {label for label in labels if label not in named and is_no_sample(label)}
        found = ["" if label in unnamed else named[label] for label in labels]
        return np.array(found, dtype=object)
    wells = {well: source.sample for source in sources for well in source.wells}
    found = [read_well(name) for name in table.barcodes]
    if odd := sorted(set(found) - set(wells)):
        raise InputError(
            f"{sources[0].path}: barcodes end in -{odd[0] or '?'}, but {sources[0].column} lists "
            f"{len(wells)} samples. Put the list of this matrix there, or remove it."
        )
    return np.array([wells[well] for well in found], dtype=object)


def read_well(barcode: str) -> str:
    """Read the number of the GEM well that Cell Ranger writes after a barcode; empty without one.

    >>> read_well("AAACCCAAGAAACACT-2"), read_well("cell-2")
    ('2', '')
    """
    found = _WELL.search(barcode)
    return found[1] if found else ""


def describe_samples(sources: Sequence[Source]) -> list[str]:
    """Describe where the samples of one file come from, if it holds several."""
    if len(sources) < 2 or not sources[0].label:
        return []
    listed = some([source.label for source in sources], 6)
    return [f"{len(sources)} samples from {_name_origin(sources[0])} ({listed})."]


def _name_origin(source: Source) -> str:
    """Name what distinguishes the samples of a file."""
    if source.wells or source.calls:
        return source.column
    if source.layout.is_folder:
        cells = PurePath(source.members[1]) if source.members else source.files[1]
        return f"{cells.name} column {source.column}"
    return f'obs["{source.column}"]'


def rename_columns(
    obs: pd.DataFrame, samples: np.ndarray, barcodes: np.ndarray, taken: Iterable[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Give columns about the cells the names that scdiff reads.

    The notes list columns that look like samples or donors and are not used.

    Parameters
    ----------
    obs
        Columns about the cells in the file.
    samples, barcodes
        Sample and name of each cell, shape (n_cells,).
    taken
        Columns of the sample sheet.

    Returns
    -------
    The renamed frame, and sentences for the record.
    """
    obs, notes = obs.copy(deep=False), []
    for meant in _MEANT:
        if meant in taken:
            continue
        source = _find_column(obs, meant, samples)
        if source is None:
            continue
        if source != meant:
            notes.append(f"obs[{source!r}] is used as the {meant} of the cells.")
        obs[meant], sentences = _make_readable(obs[source], meant)
        notes += sentences
    return obs, [*notes, *_note_unused(obs, samples), *_note_pooled_barcodes(samples, barcodes)]


def _find_column(obs: pd.DataFrame, meant: str, samples: np.ndarray) -> str | None:
    """Find the column that holds the donor, condition or day.

    A column with another name must have one value in each sample.
    """
    if meant in obs:
        return meant
    others = [
        str(name) for known in _MEANT[meant] for name in obs if _fold_name(str(name)) == known
    ]
    return next((name for name in others if _count_values_within(obs[name], samples)[0] == 1), None)


def _make_readable(column: pd.Series, meant: str) -> tuple[pd.Series, list[str]]:
    """Write a day as a number, a donor or condition as text, and note days that cannot be read.

    A column in which no day can be read stays as it is.
    """
    import pandas as pd

    if meant != DAY:
        values = column.astype(object)
        return values.where(values.isna(), values.map(as_text)), []
    read, odd = parse_days(column), list_unreadable_days(column.dropna().unique())
    notes = []
    if odd:
        notes.append(
            f'obs["{column.name}"] holds values that cannot be read as a day ({some(odd)}): '
            "these cells have no day."
        )
    return (column if np.isnan(read).all() else pd.Series(read, index=column.index)), notes


def _count_values_within(column: pd.Series, samples: np.ndarray) -> tuple[int, str]:
    """Return the largest number of values that a column has in one sample, and that sample.

    The number is 0 for a column without values.
    """
    codes = column.astype(object).groupby(samples, observed=True).nunique()
    return (int(codes.max()), str(codes.idxmax())) if len(codes) else (0, "")


def _note_unused(obs: pd.DataFrame, samples: np.ndarray) -> list[str]:
    """Note columns that look like samples, donors or batches and vary within one sample."""
    found: dict[str, tuple[int, str]] = {}
    for name in obs:
        column = obs[name]
        if not looks_like_identity(str(name)) or column.dtype.kind == "f" or str(name) == "donor":
            continue
        most, sample = _count_values_within(column, samples)
        if 2 <= most <= len(column) / 2:
            found[str(name)] = most, sample
    if not found:
        return []
    listed = ", ".join(
        f"obs[{name!r}] ({most} values in sample {sample!r})"
        for name, (most, sample) in found.items()
    )
    sentence = (
        f"Columns that look like samples, donors or batches are not used: {listed}. Cells that "
        "differ in them count as one sample; to separate them, write the right column to "
        'obs["sample"].'
    )
    return [sentence]


def _note_pooled_barcodes(samples: np.ndarray, barcodes: np.ndarray) -> list[str]:
    """Note the samples whose barcodes carry the marks of several GEM wells or samples."""
    notes = []
    sampled = barcodes[:: max(1, len(barcodes) // _LOOKED_AT)]
    for kind, read_mark in (
        ("end in the numbers of", read_well),
        ("begin with the names of", _read_prefix),
    ):
        if len({read_mark(str(name)) for name in sampled}) < 2:
            continue
        marks = np.array([read_mark(str(name)) for name in barcodes], dtype=object)
        if (marks == "").any() or len(set(marks)) < 2:
            continue
        for sample in dict.fromkeys(samples):
            inside = list(dict.fromkeys(marks[samples == sample]))
            if 2 <= len(inside) <= (samples == sample).sum() / 2:
                notes.append(
                    f"Barcodes of sample {sample!r} {kind} {len(inside)} wells or samples "
                    f"({some(inside)}), which count as one sample. Give each its own file, "
                    'or its name in obs["sample"].'
                )
    return notes


def _read_prefix(barcode: str) -> str:
    """Return the text before the barcode in the name of a cell; empty for a plain barcode."""
    found = _BEFORE.match(barcode)
    return found[1] if found else ""
