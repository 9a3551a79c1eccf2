"""Results as plain data frames: results per cell, and rows of the table of fractions."""

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
"""Columns of which a programme has one -> key that holds them."""

_BY_PART = {"evidence": names.EVIDENCE, "score": names.SCORE}
"""Columns of which a programme has one per marker or method -> key that holds them."""


def obs_df(adata: AnnData, keys: Sequence[str] = (), *, program: str | None = None) -> pd.DataFrame:
    """Return the results of one programme and columns of ``obs``, one row per cell.

    Use it for every tool that reads columns: plots of scanpy, seaborn, your own tests. scanpy draws
    columns of ``obs``, so join the result to ``obs`` (see the example).

    Parameters
    ----------
    adata
        Cells x genes, after :func:`scdiff.tl.call`.
    keys
        Columns to return: columns of ``obs``, ``evidence:<marker>`` (ln likelihood ratio of
        expressed over background, NaN if the marker is absent), ``probability`` (0-1),
        ``positive``, ``p_value`` (0-1) and ``score:<method>``. The default is all results of the
        programme.
    program
        Name of a called programme; the default is the main programme.

    Reads
    -----
    obsm["scdiff_evidence"], obsm["scdiff_probabilities"], obsm["scdiff_positive"],
    obsm["scdiff_p_value"], obsm["scdiff_score"] (if present), uns[names.ROOT]["call"]

    Returns
    -------
    A new frame, shape (n_cells, n_columns), index ``obs_names``.

    Raises
    ------
    MissingKeyError
        If the cells are not called.
    UnknownNameError
        If a column or the programme is unknown, with similar names.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.simulate.simulate(n_cells=60, seed=1)
    >>> scdiff.pp.prepare(adata)
    >>> scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    >>> found = scdiff.get.obs_df(adata, ["sample", "evidence:PDX1", "positive"])
    >>> list(found), len(found)
    (['sample', 'evidence:PDX1', 'positive'], 60)
    >>> adata.obs = adata.obs.join(scdiff.get.obs_df(adata))
    >>> "evidence:PDX1" in adata.obs  # for sc.pl.umap(adata, color="evidence:PDX1")
    True
    """
    import pandas as pd

    wanted = list(dict.fromkeys([keys] if isinstance(keys, str) else keys))
    if wanted and program is None and all(key in adata.obs for key in wanted):
        return adata.obs[wanted].copy()
    found = _results(adata, _choose_program(adata, program))
    for key in wanted:
        if key not in found and key not in adata.obs:
            known = [*found, *(str(name) for name in adata.obs)]
            raise UnknownNameError(
                f"obs_df(): there is no column {key!r}. {did_you_mean(key, known)}"
            )
    columns = {key: found.get(key, adata.obs.get(key)) for key in wanted or found}
    return pd.DataFrame(
        {key: pd.Series(values) for key, values in columns.items()}, index=adata.obs_names
    )


def _choose_program(adata: AnnData, program: str | None) -> str:
    """Return the programme to read: the named one, or the main one."""
    for key in (names.CALL, names.POSITIVE):
        _require(adata, key, "obs_df")
    if program is None:
        return str(adata.uns[names.ROOT][names.CALL.name]["main"])
    known = [str(name) for name in adata.obsm[names.POSITIVE.name].columns]
    if program not in known:
        raise UnknownNameError(
            f"obs_df(): programme {program!r} was not called. {did_you_mean(program, known)}"
        )
    return program


def _results(adata: AnnData, program: str) -> dict[str, pd.Series]:
    """Return the columns of one programme by their short names."""
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
    """Return rows of the table of fractions, with the columns of ``tables/fractions.csv``.

    Parameters
    ----------
    adata
        After :func:`scdiff.tl.fraction`.
    program, state, sample
        Rows to return; the default is all. Sample ``all`` pools all samples except controls.

    Reads
    -----
    uns[names.ROOT]["fractions"]

    Returns
    -------
    A new frame; fractions and limits are 0-1, intervals 95 %.

    Raises
    ------
    MissingKeyError
        If the object lacks the table of fractions.
    UnknownNameError
        If the table has no such programme, state or sample, with similar names.

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
    everything = fraction_columns(adata.uns[names.ROOT][names.FRACTIONS.name])
    table = everything
    for column, name in (("program", program), ("state", state), ("sample", sample)):
        if name is None:
            continue
        known = _unique(table[column])
        if name not in known:
            where = "" if len(table) == len(everything) else " among the selected rows"
            raise UnknownNameError(
                f"fractions(): there is no {column} {name!r}{where}. {did_you_mean(name, known)}"
            )
        table = table[table[column].astype(str) == name]
    return table.reset_index(drop=True)


def _unique(column: Iterable[object]) -> list[str]:
    """Return each name once, in order."""
    return list(dict.fromkeys(str(name) for name in column))


def _require(adata: AnnData, key: names.Key, reader: str) -> None:
    """Raise ``MissingKeyError`` if the object lacks the key that ``reader`` reads."""
    if not names.has(adata, key):
        raise MissingKeyError(
            f"{reader} reads {key} ({key.meaning}), which is not in the object: "
            f"run {key.writer} first."
        )
