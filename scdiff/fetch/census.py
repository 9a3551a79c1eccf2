"""Get cells of the CELLxGENE Census by a query, with its own package (extra ``census``)."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.errors import ConfigError, InputError, ScdiffError
from scdiff.fetch.download import Facts

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "MOST_CELLS", "Census", "Query", "is_query"]

log = logging.getLogger(__name__)

COLUMNS = (
    "dataset_id", "donor_id", "assay", "cell_type", "tissue", "tissue_general", "disease", "sex",
    "development_stage", "suspension_type", "is_primary_data",
)  # fmt: skip
"""Columns of the cells that are kept, if the census has them."""

MOST_CELLS = 1_000_000
"""Highest number of cells of a query, because they are held in memory. Chosen, not tuned."""

_SOURCE = re.compile(
    r"census(@(?P<version>[\w.-]+))?:(?P<species>human|mouse):\s*(?P<filter>\S.*)", re.DOTALL
)
_ORGANISM = {"human": "homo_sapiens", "mouse": "mus_musculus"}
_NAMED = 8
"""Number of characters of a hash or a dataset that a name has. Chosen, not tuned."""


@dataclass(frozen=True)
class Query:
    """Query for cells of the census.

    Parameters
    ----------
    version
        Date of a release of the census, ``stable`` or ``latest``.
    species
        ``human`` or ``mouse``.
    filter
        Condition on the columns of the cells, in the syntax of the census, such as
        ``tissue_general == 'pancreas'``.

    >>> Query.of("census@2025-01-30:human:donor_id == 'A'").whole
    "(donor_id == 'A') and is_primary_data == True"
    """

    version: str
    species: str
    filter: str

    @classmethod
    def of(cls, source: str) -> Query:
        """Parse a query.

        Raises
        ------
        ConfigError
            If the text does not have the form of a query.
        """
        found = _SOURCE.fullmatch(source.strip())
        if not found:
            raise ConfigError(
                f"{source!r} is not a query of the census. Write census:human:CONDITION or "
                "census@DATE:mouse:CONDITION, such as "
                "\"census:human:tissue_general == 'pancreas' and cell_type == 'fibroblast'\"."
            )
        return cls(found["version"] or "stable", found["species"], found["filter"].strip())

    @property
    def source(self) -> str:
        """Return the text of the query, with the version."""
        return f"census@{self.version}:{self.species}:{self.filter}"

    @property
    def name(self) -> str:
        """Return the name of its file."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()
        return f"census-{self.species}-{digest[:_NAMED]}.h5ad"

    @property
    def whole(self) -> str:
        """Return the condition, restricted to primary data unless it names ``is_primary_data``.

        Several datasets of the census have the same cells; each cell is primary in only one.
        """
        if "is_primary_data" in self.filter:
            return self.filter
        return f"({self.filter}) and is_primary_data == True"


def is_query(source: str) -> bool:
    """Check whether a source is meant as a query of the census."""
    return source.strip().startswith("census")


class Census:
    """Get the cells of queries, with the methods of :class:`scdiff.fetch.download.Link`.

    The environment variable ``SCDIFF_CENSUS`` can contain the address of a copy of the census.
    """

    def facts(self, source: str) -> Facts:
        """Return empty facts.

        A release of the census does not change, and ``stable`` is the release of the first
        download.
        """
        del source
        return Facts()

    def count(self, source: str) -> str:
        """Return the numbers of cells, donors and datasets of a query, as text.

        Raises
        ------
        ConfigError, InputError
            As :meth:`download`.
        """
        with _open_query(Query.of(source)) as (_, _, cells):
            donors, datasets = (cells[name].nunique() for name in ("donor_id", "dataset_id"))
            return f"{len(cells):,} cells of {donors} donors in {datasets} datasets"

    def download(self, source: str, path: Path) -> Facts:
        """Write the cells of a query as h5ad: raw counts, one sample per donor.

        Raises
        ------
        ConfigError
            If the package is not installed, or the condition is not valid.
        InputError
            If the census cannot be reached, or has no such cells, or too many.
        """
        from scdiff.storage.h5ad import write_h5ad

        query = Query.of(source)
        with _open_query(query) as (census, built, cells):
            import cellxgene_census

            log.info("%s: %d cells of the census of %s.", query.name, len(cells), built)
            organism = _ORGANISM[query.species]
            present = set(census["census_data"][organism].obs.keys())
            found = cellxgene_census.get_anndata(
                census,
                organism,
                obs_coords=cells["soma_joinid"].to_numpy(),
                obs_column_names=["soma_joinid", *(name for name in COLUMNS if name in present)],
            )
        write_h5ad(_build_batch(found), path)
        return Facts(path.stat().st_size, modified=f"census of {built}")


@contextmanager
def _open_query(query: Query) -> Iterator[tuple[Any, str, pd.DataFrame]]:
    """Open the census and find the cells of a query: their numbers, donors and datasets.

    Raises
    ------
    ConfigError, InputError
        As :meth:`Census.download`.
    """
    if importlib.util.find_spec("cellxgene_census") is None:
        raise ConfigError(
            f"{query.source}: the package of the census is not installed. "
            "Install it: pip install 'scdiff-markers[census]'."
        )
    import os

    import cellxgene_census
    import tiledbsoma

    copy = os.environ.get("SCDIFF_CENSUS")
    try:
        with cellxgene_census.open_soma(
            **({"uri": copy} if copy else {"census_version": query.version})
        ) as census:
            summary = census["census_info"]["summary"].read().concat().to_pandas()
            values = summary.set_index("label")["value"]
            cells = _find_cells(census, query)
            yield census, str(values.get("census_build_date", query.version)), cells
    except ScdiffError:
        raise
    except (tiledbsoma.SOMAError, OSError, RuntimeError, LookupError, ValueError) as error:
        raise InputError(
            f"{query.source}: the census did not answer the query ({_shorten(error)}). "
            "Check the connection and the version."
        ) from error


def _find_cells(census: Any, query: Query) -> pd.DataFrame:
    """Find the cells of a query: their numbers, donors and datasets.

    Raises
    ------
    ConfigError
        If the condition is not valid.
    InputError
        If there are no such cells, or too many.
    """
    import tiledbsoma

    names = ["soma_joinid", "donor_id", "dataset_id"]
    try:
        cells = (
            census["census_data"][_ORGANISM[query.species]]
            .obs.read(value_filter=query.whole, column_names=names)
            .concat()
            .to_pandas()
        )
    except tiledbsoma.SOMAError as error:
        raise ConfigError(
            f"{query.source}: the census does not accept this condition: {_shorten(error)}"
        ) from error
    if len(cells) == 0:
        raise InputError(
            f"{query.source}: the census has no such cells. Use the terms that its web site lists."
        )
    if len(cells) > MOST_CELLS:
        raise InputError(
            f"{query.source}: the query matches {len(cells):,} cells, but at most "
            f"{MOST_CELLS:,} can be fetched at once. Restrict the condition."
        )
    return cells


def _shorten(error: Exception) -> str:
    """Return the message of an error in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def _build_batch(found: AnnData) -> AnnData:
    """Return the cells as a batch; each donor of each dataset is a sample.

    Cells have their numbers in the census as names, genes their Ensembl ids.
    """
    from anndata import AnnData
    from scipy import sparse

    obs, var = found.obs, found.var
    shared = (
        obs.groupby("donor_id", observed=True)["dataset_id"].transform("nunique").to_numpy() > 1
    )
    donors, datasets = obs["donor_id"].astype(str), obs["dataset_id"].astype(str)
    columns = {
        "sample": donors.where(~shared, donors + "_" + datasets.str[:_NAMED]),
        "donor": donors,
    }
    kept = (
        obs.drop(columns=["soma_joinid", "donor_id"])
        .assign(**columns)
        .set_axis(obs["soma_joinid"].astype(str).to_list())
    )
    genes = var[["feature_name"]].set_axis(var["feature_id"].astype(str).to_list())
    counts = sparse.csr_matrix((found.X.data, found.X.indices, found.X.indptr), shape=found.shape)
    return AnnData(obs=kept, var=genes, layers={"counts": counts})
