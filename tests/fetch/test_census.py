"""Queries of the census, on a small one: of a stand-in with the few functions that are called, and of the real package where it is."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scdiff.cli import main
from scdiff.errors import ConfigError, InputError
from scdiff.fetch.census import COLUMNS, Query
from scdiff.fetch.sources import fetch, list_remote_files
from scdiff.io import load

GENES = ("PDX1", "INS", "ACTB", "GAPDH", "COL1A1", "RPL3", "VIM", "MALAT1")
IDS = ("ENSG00000139515", "ENSG00000254647", "ENSG00000075624", "ENSG00000111640", "ENSG00000108821", "ENSG00000100316",
       "ENSG00000026025", "ENSG00000251562")  # fmt: skip
REAL = all(importlib.util.find_spec(name) for name in ("cellxgene_census", "tiledbsoma"))


def cells() -> AnnData:
    """Sixty cells of donors A and B, A in two datasets; every tenth stands in another dataset as well."""
    n = 60
    obs = pd.DataFrame(dict.fromkeys(COLUMNS, "x"), index=[str(number) for number in range(n)])
    obs["dataset_id"] = np.repeat(["first-dataset", "other-dataset"], 30)
    obs["donor_id"] = np.repeat(["A", "B", "A"], 20)
    obs["is_primary_data"] = np.arange(n) % 10 > 0
    var = pd.DataFrame(
        {"feature_id": IDS, "feature_name": GENES},
        index=[str(number) for number in range(len(IDS))],
    )
    return AnnData(
        sparse.csr_matrix(np.random.default_rng(0).poisson(2, (n, len(IDS))).astype(np.float32)),
        obs=obs,
        var=var,
    )


def build(folder: Path) -> None:
    """Write the cells as a census is written."""
    import pyarrow as pa
    import tiledbsoma
    import tiledbsoma.io

    with tiledbsoma.Collection.create(str(folder)) as top:
        data = top.add_new_collection("census_data")
        table = pa.table(
            {
                "soma_joinid": pa.array([0], pa.int64()),
                "label": ["census_build_date"],
                "value": ["2025-01-30"],
            }
        )
        made = top.add_new_collection("census_info").add_new_dataframe(
            "summary", schema=table.schema, index_column_names=["soma_joinid"], domain=[(0, 9)]
        )
        with made:
            made.write(table)
        uri = f"{data.uri}/homo_sapiens"
    tiledbsoma.io.from_anndata(uri, cells(), "RNA", X_layer_name="raw")
    with tiledbsoma.Collection.open(f"{folder}/census_data", "w") as data:
        data.set("homo_sapiens", tiledbsoma.Experiment.open(uri), use_relative_uri=True)


class _Obs:
    """The table of cells as the package reads it."""

    def __init__(self, error: type[Exception]) -> None:
        self.frame, self.error = cells().obs.assign(soma_joinid=np.arange(60)), error

    def keys(self) -> list[str]:
        return list(self.frame)

    def read(self, *, value_filter: str, column_names: list[str]) -> Any:
        try:
            found = self.frame.query(value_filter)[column_names]
        except (SyntaxError, ValueError, NameError) as fault:
            raise self.error(str(fault)) from fault
        return _read(found)


def _read(frame: pd.DataFrame) -> Any:
    return SimpleNamespace(
        concat=lambda: SimpleNamespace(to_pandas=lambda: frame.reset_index(drop=True))
    )


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put modules with the few functions that are called in place of the package."""
    error = type("SOMAError", (Exception,), {})
    summary = pd.DataFrame({"label": ["census_build_date"], "value": ["2025-01-30"]})

    @contextmanager
    def open_soma(*, census_version: str = "", uri: str = "") -> Any:
        assert uri
        experiment = SimpleNamespace(obs=_Obs(error))
        yield {
            "census_data": {"homo_sapiens": experiment},
            "census_info": {"summary": SimpleNamespace(read=lambda: _read(summary))},
        }

    def get_anndata(
        census: Any, organism: str, *, obs_coords: Any, obs_column_names: list[str]
    ) -> AnnData:
        whole = cells()
        whole.obs["soma_joinid"] = np.arange(60)
        found = whole[obs_coords].copy()
        found.obs = (
            found.obs[obs_column_names]
            .reset_index(drop=True)
            .set_axis([str(row) for row in range(found.n_obs)])
        )
        return found

    monkeypatch.setitem(
        sys.modules,
        "cellxgene_census",
        SimpleNamespace(open_soma=open_soma, get_anndata=get_anndata, __spec__=True),
    )
    monkeypatch.setitem(sys.modules, "tiledbsoma", SimpleNamespace(SOMAError=error, __spec__=True))


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param(
            "real", marks=pytest.mark.skipif(not REAL, reason="the extra census is not installed")
        ),
    ]
)
def census(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCDIFF_CENSUS", str(tmp_path / "census"))
    if request.param == "real":
        build(tmp_path / "census")
    else:
        stand_in(monkeypatch)


ASKED = "census@2025-01-30:human:donor_id == 'A'"


def test_a_query_becomes_a_file_that_load_reads(census: None, tmp_path: Path) -> None:
    (file,) = fetch([ASKED], tmp_path / "out")
    adata = load(tmp_path / "out" / file.name)
    whole = cells()
    kept = (whole.obs["donor_id"] == "A") & whole.obs["is_primary_data"]
    assert file.new
    assert list(adata.obs_names) == list(whole.obs_names[kept])  # numbers in the census
    assert list(adata.var_names) == list(GENES)
    assert list(adata.var["gene_id"]) == list(IDS)
    assert (adata.layers["counts"] != whole[kept.to_numpy()].X).nnz == 0
    assert set(adata.obs["sample"]) == {
        "A_first-da",
        "A_other-da",
    }  # one donor of two datasets is two samples
    assert set(adata.obs["donor"]) == {"A"}


def test_what_is_there_is_verified_and_not_asked_for_again(
    census: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = fetch([ASKED], tmp_path / "out")
    monkeypatch.setenv("SCDIFF_CENSUS", str(tmp_path / "gone"))
    monkeypatch.delitem(sys.modules, "cellxgene_census", raising=False)
    (again,) = fetch([ASKED], tmp_path / "out")
    entry = json.loads((tmp_path / "out" / "scdiff-lock.json").read_text())["files"][file.name]
    assert not again.new
    assert (entry["url"], entry["modified"]) == (ASKED, "census of 2025-01-30")
    (tmp_path / "out" / file.name).write_bytes(b"changed")
    with pytest.raises(InputError, match="the file has sha256"):
        fetch([ASKED], tmp_path / "out")


def test_the_list_says_what_would_come(census: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert [file.holds for file in list_remote_files([ASKED])] == [
        "36 cells of 1 donors in 2 datasets"
    ]
    assert main(["fetch", ASKED, "--list"]) == 0
    assert "36 cells of 1 donors in 2 datasets" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("condition", "error", "said"),
    [
        ("donor_id == 'Z'", InputError, "the census has no such cells"),
        ("no_such_column == 'A'", ConfigError, "does not accept this condition"),
        ("donor_id ==", ConfigError, "does not accept this condition"),
    ],
)
def test_a_query_that_cannot_be_is_refused(
    census: None, tmp_path: Path, condition: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        fetch([f"census:human:{condition}"], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.h5ad"))


def test_too_many_cells_are_refused(
    census: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scdiff.fetch.census.MOST_CELLS", 10)
    with pytest.raises(
        InputError, match="the query matches 36 cells, but at most 10 can be fetched at once"
    ):
        fetch([ASKED], tmp_path / "out")


def test_without_the_package_the_command_that_installs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "cellxgene_census" else find(name)
    )
    with pytest.raises(ConfigError, match=r"pip install 'scdiff-markers\[census\]'"):
        fetch([ASKED], tmp_path / "out")


@pytest.mark.parametrize(
    "source",
    [
        "census:",
        "census:rat:donor_id == 'A'",
        "census:human:",
        "census@:human:x == 1",
        "census human",
    ],
)
def test_what_is_no_query_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a query of the census"):
        fetch([source], tmp_path / "out")


def test_each_cell_counts_once_unless_the_condition_says_otherwise() -> None:
    assert Query.of("census:mouse: a == 1 ").whole == "(a == 1) and is_primary_data == True"
    assert Query.of("census:mouse:is_primary_data == False").whole == "is_primary_data == False"
    assert Query.of("census:mouse:a == 1").source == "census@stable:mouse:a == 1"
