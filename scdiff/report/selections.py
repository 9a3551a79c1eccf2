"""Select the data of sections and plots from results: rows of tables, and numbers per cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.palette import ACCENT, CALLED
from scdiff.record import find_positive_state
from scdiff.vocabulary import NO_NUMBER, NOT_MEASURABLE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "ABSENT",
    "BATCH",
    "axis_rows",
    "cluster_positions",
    "estimates_of",
    "headlines",
    "main_calls",
    "pairs_at",
    "shares_of",
    "states_by_cluster",
]

BATCH = "batch"
"""Name of the batch itself in the column ``where`` of the axes; the others are receivers."""

ABSENT = NOT_MEASURABLE


def axis_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of the whole batch and of the receivers.

    ``value``, ``low`` and ``high`` are the prevalence, or the raw fraction if it is missing.
    """
    where = table["where"].astype(str)
    read = table[(where != BATCH) | (table["sample"].astype(str) == "all")].copy()
    known = read["prevalence"].notna()
    for name, ends in (("value", ""), ("low", "_low"), ("high", "_high")):
        read[name] = read[f"prevalence{ends}"].where(known, read[f"fraction{ends}"])
    read["above"] = read["above_background"].astype(str).isin(["yes", "unknown"])
    return read.astype(
        dict.fromkeys(("axis", "side", "gene", "where", "species", "verdict", "reason"), str)
    ).reset_index(drop=True)


def pairs_at(read: pd.DataFrame, place: str) -> pd.DataFrame:
    """Pair each ligand in the batch with each receptor of its axis in ``place``, one per row."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for axis, part in read.groupby("axis", sort=False):
        ligand = part[(part["where"] == BATCH) & (part["side"] == "ligand")].iloc[0]
        for _, receptor in part[(part["where"] == place) & (part["side"] == "receptor")].iterrows():
            label = f"{ligand['gene']} \N{RIGHTWARDS ARROW} {receptor['gene']}"
            rows.append(
                {
                    "axis": axis,
                    "label": label,
                    **_side("ligand", ligand),
                    **_side("receptor", receptor),
                }
            )
    return pd.DataFrame(rows)


def _side(name: str, row: pd.Series) -> dict[str, Any]:
    """Return the values of one side of a pair that are drawn."""
    values = {f"{name}_{key}": row[key] for key in ("value", "low", "high", "above")}
    return values | {f"{name}_absent": _reason_absent(row)}


def _reason_absent(row: pd.Series) -> str:
    """Return in two words why the value is missing, or an empty string if it is known."""
    if row["verdict"] != ABSENT:
        return ""
    has_no_ortholog = "ortholog" in row["reason"] and "no row" not in row["reason"]
    return "no ortholog" if has_no_ortholog else "no row"


def headlines(adata: AnnData, table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of the positive state of each programme.

    If the positive state is unknown, the first state of the programme is selected.
    """
    programs, states = table["program"].astype(str), table["state"].astype(str)
    first = table.groupby(programs, sort=False)["state"].first().astype(str).to_dict()
    known = set(zip(programs, states, strict=True))
    chosen = {}
    for program, first_state in first.items():
        state = find_positive_state(adata, str(program))
        chosen[str(program)] = state if (program, state) in known else first_state
    return table[states == programs.map(chosen)].reset_index(drop=True)


def estimates_of(pooled: pd.DataFrame, main: str) -> pd.DataFrame:
    """Select the prevalence of each row, or its raw fraction if that is missing."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for row in pooled.to_dict("records"):
        name = "prevalence" if row["prevalence"] == row["prevalence"] else "fraction"
        blank = row["verdict"] in NO_NUMBER
        ends = {
            end: float("nan") if blank else row[name + tail]
            for end, tail in (("value", ""), ("low", "_low"), ("high", "_high"))
        }
        rows.append(
            {
                "label": row["program"],
                "verdict": row["verdict"],
                "colour": CALLED if row["program"] == main else ACCENT,
                **ends,
            }
        )
    return pd.DataFrame(rows)


def states_by_cluster(clusters: pd.Series, states: pd.Series) -> pd.DataFrame:
    """Count the cells of each state in each cluster, the largest cluster first."""
    import pandas as pd

    numbers = pd.crosstab(clusters.astype(str), states.astype(str))
    numbers.columns.name = None
    return numbers.loc[sorted(numbers.index, key=lambda name: (-numbers.loc[name].sum(), name))]


def shares_of(states: pd.DataFrame) -> pd.DataFrame:
    """Convert numbers of cells to percent of each row."""
    return 100 * states.div(states.sum(axis=1), axis=0)


def main_calls(adata: AnnData) -> np.ndarray:
    """Return whether each cell is positive for the main programme, shape (n_cells,).

    All are False if the cells were not called.
    """
    import numpy as np

    main = str(adata.uns[keys.ROOT].get("call", {}).get("main", ""))
    positive = adata.obsm.get("scdiff_positive", {})
    if main not in positive:
        return np.zeros(adata.n_obs, dtype=bool)
    return positive[main].fillna(False).to_numpy(dtype=bool)


def cluster_positions(xy: np.ndarray, clusters: np.ndarray, called: np.ndarray) -> pd.DataFrame:
    """Compute the median position, the number of cells and the share called of each cluster."""
    import pandas as pd

    cells = pd.DataFrame(xy[:, :2], columns=["x", "y"]).assign(positive=called, cluster=clusters)
    grouped = cells.groupby("cluster")
    return (
        grouped[["x", "y"]]
        .median()
        .assign(n_cells=grouped.size(), positive=grouped["positive"].mean())
    )
