"""Cells of the CELLxGENE Census by a query, through its own package (extra ``census``)."""

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
    "dataset_id", "donor_id", "assay", "cell_type", "tissue", "tissue_general", "disease", "sex", "development_stage", "suspension_type",
    "is_primary_data",
)  # fmt: skip
"""What is kept of each cell, as far as the census has it."""

MOST_CELLS = 1_000_000
"""More cells are refused: they are held in memory."""

_SOURCE = re.compile(
    r"census(@(?P<version>[\w.-]+))?:(?P<species>human|mouse):\s*(?P<filter>\S.*)", re.DOTALL
)
_ORGANISM = {"human": "homo_sapiens", "mouse": "mus_musculus"}
_NAMED = 8


@dataclass(frozen=True)
class Query:
    """Cells of the census.

    Parameters
    ----------
    version
        Date of a release of the census, ``stable`` or ``latest``.
    species
        ``human`` or ``mouse``.
    filter
        Condition on the columns of the cells, as the census takes it: ``tissue_general == 'pancreas'``.

    >>> Query.of("census@2025-01-30:human:donor_id == 'A'").whole
    "(donor_id == 'A') and is_primary_data == True"
    """

    version: str
    species: str
    filter: str

    @classmethod
    def of(cls, source: str) -> Query:
        """Take a source apart.

        Raises
        ------
        ConfigError
            If it is not written as a query is.
        """
        found = _SOURCE.fullmatch(source.strip())
        if not found:
            raise ConfigError(
                f"{source!r} is no query of the census: write census:human:CONDITION or census@DATE:mouse:CONDITION, "
                "as in \"census:human:tissue_general == 'pancreas' and cell_type == 'fibroblast'\"."
            )
        return cls(found["version"] or "stable", found["species"], found["filter"].strip())

    @property
    def source(self) -> str:
        """The query as it is written."""
        return f"census@{self.version}:{self.species}:{self.filter}"

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"census-{self.species}-{hashlib.sha256(self.source.encode()).hexdigest()[:_NAMED]}.h5ad"

    @property
    def whole(self) -> str:
        """The condition, and that each cell counts once: several datasets of the census hold the same cells."""
        return (
            self.filter
            if "is_primary_data" in self.filter
            else f"({self.filter}) and is_primary_data == True"
        )


def is_query(source: str) -> bool:
    """Whether a source is meant as a query of the census."""
    return source.strip().startswith("census")


class Census:
    """Fetches queries as :class:`scdiff.fetch.download.Link` fetches files; the environment variable ``SCDIFF_CENSUS`` names a copy."""

    def facts(self, source: str) -> Facts:
        """Tell nothing: a release of the census does not change, and ``stable`` is taken as it was when it was asked."""
        del source
        return Facts()

    def count(self, source: str) -> str:
        """Say how many cells a query would give.

        Raises
        ------
        ConfigError, InputError
            As :meth:`download`.
        """
        with _asked(Query.of(source)) as (_, _, cells):
            donors, datasets = (cells[name].nunique() for name in ("donor_id", "dataset_id"))
            return f"{len(cells):,} cells of {donors} donors in {datasets} datasets"

    def download(self, source: str, path: Path) -> Facts:
        """Write the cells of a query as h5ad: raw counts, each donor a sample.

        Raises
        ------
        ConfigError
            If the package is not installed, or the condition is none.
        InputError
            If the census cannot be reached, or has no such cells, or too many.
        """
        from scdiff.storage.h5ad import write_h5ad

        query = Query.of(source)
        with _asked(query) as (census, built, cells):
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
        write_h5ad(_batch(found), path)
        return Facts(path.stat().st_size, modified=f"census of {built}")


@contextmanager
def _asked(query: Query) -> Iterator[tuple[Any, str, pd.DataFrame]]:
    """Open the census and find the cells of a query: their numbers, donors and datasets.

    Raises
    ------
    ConfigError, InputError
        As :meth:`Census.download`.
    """
    if importlib.util.find_spec("cellxgene_census") is None:
        raise ConfigError(
            f"{query.source}: the package of the census is not installed: pip install 'scdiff-markers[census]'."
        )
    import os

    import cellxgene_census
    import tiledbsoma

    copy = os.environ.get("SCDIFF_CENSUS")
    try:
        with cellxgene_census.open_soma(
            **({"uri": copy} if copy else {"census_version": query.version})
        ) as census:
            about = (
                census["census_info"]["summary"]
                .read()
                .concat()
                .to_pandas()
                .set_index("label")["value"]
            )
            cells = _cells(census, query)
            yield census, str(about.get("census_build_date", query.version)), cells
    except ScdiffError:
        raise
    except (tiledbsoma.SOMAError, OSError, RuntimeError, LookupError, ValueError) as error:
        raise InputError(
            f"{query.source}: the census cannot be asked ({' '.join(str(error).split())[:200]})."
        ) from error


def _cells(census: Any, query: Query) -> pd.DataFrame:
    """Find the cells of a query."""
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
            f"{query.source}: the census does not take this condition: {' '.join(str(error).split())[:200]}"
        ) from error
    if len(cells) == 0:
        raise InputError(
            f"{query.source}: the census holds no such cells. Look for the words that it uses at its web site."
        )
    if len(cells) > MOST_CELLS:
        raise InputError(
            f"{query.source}: these are {len(cells):,} cells; up to {MOST_CELLS:,} are fetched at once. Narrow the condition."
        )
    return cells


def _batch(found: AnnData) -> AnnData:
    """Name cells by their numbers in the census, genes by Ensembl id, and each donor of each dataset as a sample."""
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
