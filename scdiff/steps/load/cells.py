"""The table of the cells: columns of file and sample sheet, sample, control, unique names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.steps.load.identity import rename_columns
from scdiff.steps.load.part import Part
from scdiff.steps.load.personal import find_personal_columns, note_personal_columns
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import some
from scdiff.steps.shared.days import DAY, parse_days

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_plain_column", "gather_obs", "read_own_columns"]


def gather_obs(parts: Sequence[Part]) -> tuple[pd.DataFrame, list[str]]:
    """Gather what is known of every cell: columns of the file and the sheet, sample and control.

    Returns
    -------
    Frame of the cells of all parts, and sentences for the record.
    """
    import pandas as pd

    frames, notes = zip(*(read_own_columns(part) for part in parts), strict=True)
    obs = pd.concat([frame.reset_index(drop=True) for frame in frames], ignore_index=True)
    sources = [source for part in parts for source in part.sources]
    samples = np.concatenate([part.samples for part in parts])
    for name, values in _read_sheet_columns(sources).items():
        obs[name] = pd.Series(samples).map(values).to_numpy()
    declared = pd.Index(samples).isin([source.sample for source in sources if source.control])
    earlier = obs.pop("control").eq(True).to_numpy() if "control" in obs else False
    for name in obs:
        obs[name] = as_plain_column(obs[name])
    order = pd.Index([source.sample for source in sources], dtype=object)
    named = pd.Series(samples, dtype=object).where(pd.Index(samples).isin(order))
    obs.insert(0, keys.SAMPLE.name, pd.Categorical(named, categories=order))
    obs.insert(1, keys.CONTROL.name, declared | earlier)
    obs.index = _name_cells(parts, samples)
    return obs, [*(note for group in notes for note in group), *_note_mixed_donors(obs)]


def _note_mixed_donors(obs: pd.DataFrame) -> list[str]:
    """Note the samples that hold cells of several donors.

    Intervals over donors need one sample for each donor.
    """
    if "donor" not in obs:
        return []
    donors = obs.groupby("sample", observed=True)["donor"].nunique()
    return [
        f"Sample {name!r} holds cells of {n_donors} donors and counts as one. "
        "For intervals over donors, give each donor its own sample."
        for name, n_donors in donors[donors > 1].items()
    ]


def read_own_columns(part: Part) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of the file, without those that scdiff or the sheet writes.

    Returns
    -------
    Frame with a row for each cell, and sentences for the record.
    """
    import pandas as pd

    obs = part.table.obs
    if obs is None:
        obs = pd.DataFrame(index=range(len(part.samples)))
    ours = {key.name for key in keys.KEYS if key.slot == "obs"}
    sheet = {name for source in part.sources for name in source.fields}
    keep_control = "control" in obs and pd.api.types.is_bool_dtype(obs["control"])

    def is_reserved(name: Any) -> bool:
        return str(name) in ours | sheet or str(name).startswith("scdiff_")

    def is_kept(name: Any) -> bool:
        return not is_reserved(name) or (name == "control" and keep_control)

    dropped = [
        str(name)
        for name in obs
        if not is_kept(str(name)) and not (str(name) == "sample" and part.sources[0].label)
    ]
    kept = obs[[name for name in obs if is_kept(name)]].rename(columns=str)
    personal = find_personal_columns([*kept, *sheet])
    kept = kept.drop(columns=personal, errors="ignore")
    kept, notes = rename_columns(kept, part.samples, part.table.barcodes, sheet)
    if dropped:
        listed = some(dropped, 20)
        notes.insert(0, f"columns of obs that scdiff or the sheet writes were left out ({listed}).")
    if personal:
        notes.append(note_personal_columns(personal))
    return kept, [f"{part.sources[0].path.name}: {sentence}" for sentence in notes]


def _read_sheet_columns(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """Return column -> sample -> value of the sheet.

    The day is a number, anything else is text; a blank is missing.
    """
    columns = dict.fromkeys(name for source in sources for name in source.fields)
    for name in find_personal_columns(columns):
        del columns[name]
    texts = {
        name: {source.sample: source.fields.get(name, "") for source in sources} for name in columns
    }
    values: dict[str, dict[str, Any]] = {}
    for name, given in texts.items():
        if name == DAY:
            values[name] = dict(zip(given, parse_days(given.values()), strict=True))
        else:
            values[name] = {sample: text or np.nan for sample, text in given.items()}
    return values


def as_plain_column(column: pd.Series) -> pd.Series:
    """Make a column that every version of anndata can write.

    Numbers and booleans stay as they are; anything else becomes a category of str.
    """
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column
    values = column.astype(object)
    texts = np.array(
        [
            None if missing else str(value)
            for value, missing in zip(values, pd.isna(values), strict=True)
        ],
        dtype=object,
    )
    known = sorted({text for text in texts if text is not None})
    return pd.Series(
        pd.Categorical(texts, categories=pd.Index(known, dtype=object)), index=column.index
    )


def _name_cells(parts: Sequence[Part], samples: np.ndarray) -> pd.Index:
    """Return the barcodes, each with its sample in front if a barcode occurs in several samples."""
    import pandas as pd

    names = pd.Index(np.concatenate([part.table.barcodes for part in parts]), dtype=object)
    if names.is_unique:
        return names
    return pd.Index(
        [f"{sample}:{name}" for sample, name in zip(samples, names, strict=True)], dtype=object
    )
