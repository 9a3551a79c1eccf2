"""Results as plain data frames: per cell beside columns of ``obs``, and rows of the table of fractions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from scdiff import keys as names
from scdiff.errors import MissingKeyError, UnknownNameError, did_you_mean
from scdiff.report.tables import fraction_columns

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["fractions", "obs_df"]

_BY_PROGRAM = {
    "probability": names.PROBABILITIES,
    "positive": names.POSITIVE,
    "p_value": names.P_VALUE,
}
"""Columns that a programme has one of -> where they stand."""

_BY_PART = {"evidence": names.EVIDENCE, "score": names.SCORE}
"""Columns that a programme has several of, one for each marker or method -> where they stand."""


def obs_df(adata: AnnData, keys: Sequence[str] = (), *, program: str | None = None) -> pd.DataFrame:
    """Give the results of one programme as columns, one row per cell, beside columns of ``obs``.

    Use it for whatever reads columns: scanpy's plots, seaborn, your own tests. scanpy draws columns of ``obs``,
    so join the result to it (see the example).

    Parameters
    ----------
    adata
        Cells x genes, called.
    keys
        Columns to give: of ``obs``, or ``evidence:<marker>`` (ln likelihood ratio of expressed over background, NaN
        where the marker is absent), ``probability`` (0-1), ``positive``, ``p_value`` (0-1) and ``score:<method>``.
        Empty: all results of the programme.
    program
        Name of a called programme; the main one where it is not given.

    Reads
    -----
    obsm["scdiff_evidence"], obsm["scdiff_probabilities"], obsm["scdiff_positive"], obsm["scdiff_p_value"],
    obsm["scdiff_score"] (where it is there), uns["scdiff"]["call"]

    Returns
    -------
    A new frame, shape (n_cells, n_columns), index ``obs_names``.

    Raises
    ------
    MissingKeyError
        If the cells are not called.
    UnknownNameError
        If a column or the programme is not there, with the near match.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.simulate.simulate(n_cells=60, seed=1)
    >>> scdiff.pp.prepare(adata)
    >>> scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    >>> found = scdiff.get.obs_df(adata, ["sample", "evidence:PDX1", "positive"])
    >>> list(found), len(found)
    (['sample', 'evidence:PDX1', 'positive'], 60)
    >>> adata.obs = adata.obs.join(scdiff.get.obs_df(adata))  # then: sc.pl.umap(adata, color="evidence:PDX1")
    >>> "evidence:PDX1" in adata.obs
    True
    """
    import pandas as pd

    asked = list(dict.fromkeys([keys] if isinstance(keys, str) else keys))
    if asked and program is None and all(key in adata.obs for key in asked):
        return adata.obs[asked].copy()
    found = _results(adata, _chosen(adata, program))
    for key in asked:
        if key not in found and key not in adata.obs:
            known = [*found, *(str(name) for name in adata.obs)]
            raise UnknownNameError(
                f"obs_df(): there is no column {key!r}. {did_you_mean(key, known)}"
            )
    columns = {key: found.get(key, adata.obs.get(key)) for key in asked or found}
    return pd.DataFrame(
        {key: pd.Series(values) for key, values in columns.items()}, index=adata.obs_names
    )


def _chosen(adata: AnnData, program: str | None) -> str:
    """Name the programme that is asked for."""
    for key in (names.CALL, names.POSITIVE):
        _require(adata, key, "obs_df")
    if program is None:
        return str(adata.uns["scdiff"][names.CALL.name]["main"])
    known = [str(name) for name in adata.obsm[names.POSITIVE.name].columns]
    if program not in known:
        raise UnknownNameError(
            f"obs_df(): programme {program!r} was not called. {did_you_mean(program, known)}"
        )
    return program


def _results(adata: AnnData, program: str) -> dict[str, pd.Series]:
    """Gather the columns of one programme by their short names."""
    found: dict[str, pd.Series] = {}
    for word, key in _BY_PART.items():
        frame = adata.obsm[key.name] if names.has(adata, key) else {}
        parts = [name for name in frame if str(name).startswith(f"{program}:")]
        found |= {f"{word}:{str(name).partition(':')[2]}": frame[name] for name in parts}
    for word, key in _BY_PROGRAM.items():
        if names.has(adata, key) and program in adata.obsm[key.name]:
            found[word] = adata.obsm[key.name][program]
    return found


def fractions(
    adata: AnnData,
    *,
    program: str | None = None,
    state: str | None = None,
    sample: str | None = None,
) -> pd.DataFrame:
    """Give rows of the table of fractions, with the columns of ``tables/fractions.csv``.

    Parameters
    ----------
    adata
        After :func:`scdiff.tl.fraction`.
    program, state, sample
        Rows to give; all where not given. Sample ``all`` holds every sample that is no control.

    Reads
    -----
    uns["scdiff"]["fractions"]

    Returns
    -------
    A new frame; fractions and limits are 0-1, intervals 95 %.

    Raises
    ------
    MissingKeyError
        If there is no table of fractions.
    UnknownNameError
        If the table has no such programme, state or sample, with the near match.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.simulate.simulate(n_cells=60, seed=1)
    >>> scdiff.pp.prepare(adata)
    >>> scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    >>> scdiff.tl.fraction(adata)
    >>> scdiff.get.fractions(adata, state="progenitor_like", sample="all")["n_cells"].tolist()
    [60]
    """
    _require(adata, names.FRACTIONS, "fractions")
    table = fraction_columns(adata.uns["scdiff"][names.FRACTIONS.name])
    for column, name in (("program", program), ("state", state), ("sample", sample)):
        if name is None:
            continue
        known = _known(table[column])
        if name not in known:
            chosen = (
                ""
                if len(table) == len(adata.uns["scdiff"][names.FRACTIONS.name])
                else " among the rows asked for"
            )
            raise UnknownNameError(
                f"fractions(): there is no {column} {name!r}{chosen}. {did_you_mean(name, known)}"
            )
        table = table[table[column].astype(str) == name]
    return table.reset_index(drop=True)


def _known(column: Iterable[object]) -> list[str]:
    """List each name once, in order."""
    return list(dict.fromkeys(str(name) for name in column))


def _require(adata: AnnData, key: names.Key, reader: str) -> None:
    """Refuse an object that lacks what is to be read."""
    if not names.has(adata, key):
        raise MissingKeyError(
            f"{reader} reads {key} ({key.meaning}), which is not in the object: run {key.writer} first."
        )
