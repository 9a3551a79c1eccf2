"""What sections and plots select from results: rows of the tables, and numbers per cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
"""Place of the batch itself among those where receptors are read."""

ABSENT = NOT_MEASURABLE


def axis_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the batch as a whole and of the receivers; what is shown of each is the prevalence, or the raw fraction without one."""
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
    """One row per axis and receptor: the ligand in the batch, the receptor in ``place``."""
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
    """Take what is drawn of one side of a pair."""
    return {f"{name}_{key}": row[key] for key in ("value", "low", "high", "above")} | {
        f"{name}_absent": _absent(row)
    }


def _absent(row: pd.Series) -> str:
    """Say in two words why there is no value; empty where there is one."""
    if row["verdict"] != ABSENT:
        return ""
    return (
        "no ortholog" if "ortholog" in row["reason"] and "no row" not in row["reason"] else "no row"
    )


def headlines(adata: AnnData, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the state that all positive cells of a programme share: the first state where it is not known."""
    first = (
        table.groupby(table["program"].astype(str), sort=False)["state"]
        .first()
        .astype(str)
        .to_dict()
    )
    wanted = {str(program): find_positive_state(adata, str(program)) for program in first}
    known = set(zip(table["program"].astype(str), table["state"].astype(str), strict=True))
    chosen = {
        program: state if (program, state) in known else first[program]
        for program, state in wanted.items()
    }
    return table[
        table["state"].astype(str) == table["program"].astype(str).map(chosen)
    ].reset_index(drop=True)


def estimates_of(pooled: pd.DataFrame, main: str) -> pd.DataFrame:
    """Take the prevalence, or the raw fraction where there is none."""
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
    """Count the states in each cluster, largest cluster first."""
    import pandas as pd

    numbers = pd.crosstab(clusters.astype(str), states.astype(str))
    numbers.columns.name = None
    return numbers.loc[sorted(numbers.index, key=lambda name: (-numbers.loc[name].sum(), name))]


def shares_of(states: pd.DataFrame) -> pd.DataFrame:
    """Turn numbers of cells into percent of each row."""
    return 100 * states.div(states.sum(axis=1), axis=0)


def main_calls(adata: AnnData) -> np.ndarray:
    """Tell which cells are positive for the main programme, shape (n_cells,); none where cells are not called."""
    import numpy as np

    main = str(adata.uns["scdiff"].get("call", {}).get("main", ""))
    positive = adata.obsm.get("scdiff_positive", {})
    return (
        positive[main].fillna(False).to_numpy(dtype=bool)
        if main in positive
        else np.zeros(adata.n_obs, dtype=bool)
    )


def cluster_positions(xy: np.ndarray, clusters: np.ndarray, called: np.ndarray) -> pd.DataFrame:
    """Find the middle on the map, the number of cells and the share called of each cluster."""
    import pandas as pd

    cells = pd.DataFrame(xy[:, :2], columns=["x", "y"]).assign(positive=called, cluster=clusters)
    grouped = cells.groupby("cluster")
    return (
        grouped[["x", "y"]]
        .median()
        .assign(n_cells=grouped.size(), positive=grouped["positive"].mean())
    )
