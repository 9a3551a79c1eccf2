"""Samples, donors, conditions and days as tools and people write them; identity is content like counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from identified import said
from scipy import sparse

from scdiff.errors import ConfigError, InputError
from scdiff.run import pipeline
from scdiff.steps.load.identity import looks_like_identity, read_well
from scdiff.steps.load.step import load, look_at, plan_inputs
from scdiff.steps.shared.days import list_unreadable_days, parse_days


def told(adata: anndata.AnnData, column: str) -> dict[str, Any]:
    """Sample -> value of a column."""
    return adata.obs.groupby("sample", observed=True)[column].first().to_dict()


def put(path: Path, text: str) -> Path:
    """Write a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---------------------------------------------------------------- text for ever


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("007", "012"),
        ("1_1", "11"),
        ("1e3", "1000"),
        ("0x10", "16"),
        ("inf", "nan1"),
        ("12", "12.0"),
    ],
)
def test_donors_stay_as_the_sheet_writes_them(tmp_path, batch, write, one: str, two: str) -> None:
    """brentp/peddy#52: ids with leading zeros lose them and match nothing any more."""
    for seed, name in enumerate("ab"):
        write(batch(seed=seed), f"{name}.h5ad")
    sheet = put(
        tmp_path / "s.csv",
        f"sample,path,donor,condition,passage\n001,a.h5ad,{one},{one},{one}\n1,b.h5ad,{two},{two},{two}\n",
    )
    adata = load(samples=sheet)
    assert list(adata.obs["sample"].cat.categories) == ["001", "1"]
    for column in ("donor", "condition", "passage"):
        assert told(adata, column) == {"001": one, "1": two}


def test_donors_that_a_file_stores_as_numbers_are_the_donors_of_the_sheet(
    tmp_path, batch, write
) -> None:
    first = batch()
    first.obs["donor"] = 7.0
    paths = [write(first, "a.h5ad"), write(batch(seed=1), "b.h5ad")]
    second = batch(seed=1)
    second.obs["donor"] = "7"
    paths = [paths[0], write(second, "b.h5ad")]
    assert set(load(paths).obs["donor"]) == {"7"}


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("0", 0),
        ("day0", 0),
        ("D21", 21),
        ("d 7", 7),
        ("Day_3", 3),
        ("day 10", 10),
        ("14d", 14),
        ("7 days", 7),
        ("d7.5", 7.5),
        ("-1", -1),
    ],
)
def test_days_are_read_as_people_write_them(text: str, day: float) -> None:
    assert parse_days([text]).tolist() == [day]
    assert list_unreadable_days([text]) == []


@pytest.mark.parametrize("text", ["week 2", "48h", "day-7", "late", "1_0", "inf", "d", "0,5"])
def test_what_is_no_day_is_not_guessed(text: str) -> None:
    assert np.isnan(parse_days([text])).all()
    assert list_unreadable_days([text]) == [text]


def test_a_day_of_the_sheet_that_cannot_be_read_is_refused(tmp_path, batch, write) -> None:
    write(batch(), "a.h5ad")
    sheet = put(tmp_path / "s.csv", "sample,path,day\na,a.h5ad,week 2\n")
    with pytest.raises(ConfigError, match=r"line 2: day is 'week 2'.*such as 7, d7 or day 7"):
        load(samples=sheet)


def test_days_of_files_are_read_and_what_cannot_be_is_said(batch, write) -> None:
    first, second = batch(), batch(seed=1)
    first.obs["Day"] = ["d0"] * 6 + ["day 7"] * 6
    second.obs["day"] = ["D21"] * 6 + ["late"] * 6
    first.obs["sample"] = ["x"] * 6 + ["y"] * 6
    adata = load([write(first, "a.h5ad"), write(second, "b.h5ad")])
    assert adata.obs["day"].dtype.kind == "f"
    assert adata.obs["day"].dropna().unique().tolist() == [0.0, 7.0, 21.0]
    assert "cannot be read as a day (late)" in said(adata)
    assert "obs['Day'] is used as the day" in said(adata)


# ---------------------------------------------------------------- samples within a file


@pytest.mark.parametrize("column", ["sample", "sample_id", "Sample", "sampleName", "orig.ident"])
def test_a_column_that_names_samples_is_used_and_said(batch, write, column: str) -> None:
    adata = batch()
    adata.obs[column] = pd.Categorical(["S1"] * 6 + ["S2"] * 6)
    path = write(adata)
    loaded = load([path])
    assert loaded.obs["sample"].value_counts().to_dict() == {"S1": 6, "S2": 6}
    assert f'2 samples from obs["{column}"] (S1, S2)' in said(loaded)
    looks, faults = look_at(plan_inputs([path]))
    assert not faults
    assert any(
        f'2 samples from obs["{column}"]' in sentence for look in looks for sentence in look.said
    )


def test_a_file_of_one_sample_is_called_by_its_own_name(batch, write) -> None:
    adata = batch()
    adata.obs["orig.ident"] = "SeuratProject"
    assert set(load([write(adata, "donor3.h5ad")]).obs["sample"]) == {"donor3"}


@pytest.mark.parametrize(
    "column", ["donor_id", "batch", "library_id", "Patient", "HTO_maxID", "lane"]
)
def test_a_column_that_looks_like_samples_and_is_not_used_is_named(
    batch, write, column: str
) -> None:
    """chanzuckerberg/single-cell-curation: CELLxGENE files name the donors in obs.donor_id."""
    adata = batch()
    adata.obs[column] = pd.Categorical(["P1"] * 6 + ["P2"] * 6)
    path = write(adata)
    loaded = load([path])
    assert set(loaded.obs["sample"]) == {"batch"}
    assert f"obs['{column}'] (2 values in sample 'batch')" in said(loaded)
    assert any(
        column in sentence for look in look_at(plan_inputs([path]))[0] for sentence in look.said
    )


def test_a_donor_of_each_sample_is_found_by_another_name(batch, write) -> None:
    adata = batch()
    adata.obs["sample"], adata.obs["donor_id"] = ["S1"] * 6 + ["S2"] * 6, ["007"] * 6 + ["7"] * 6
    loaded = load([write(adata)])
    assert told(loaded, "donor") == {"S1": "007", "S2": "7"}
    assert "obs['donor_id'] is used as the donor" in said(loaded)
    assert "not used" not in said(loaded)


def test_clusters_are_no_samples(batch, write) -> None:
    adata = batch()
    adata.obs["leiden"], adata.obs["cell_type"] = ["0", "1"] * 6, ["a", "b"] * 6
    assert "not used" not in said(load([write(adata)]))
    assert not any(
        map(
            looks_like_identity,
            ["leiden", "cell_type", "n_counts", "phase", "grouping_score", "seurat_clusters"],
        )
    )


def test_the_sheet_may_take_a_file_for_one_sample(tmp_path, batch, write) -> None:
    adata = batch()
    adata.obs["orig.ident"] = ["S1"] * 6 + ["S2"] * 6
    write(adata, "a.h5ad")
    loaded = load(samples=put(tmp_path / "s.csv", "sample,path\nwhole,a.h5ad\n"))
    assert set(loaded.obs["sample"]) == {"whole"}
    assert "obs['orig.ident'] (2 values in sample 'whole')" in said(loaded)


# ---------------------------------------------------------------- what tools write beside the matrix


def _parse(folder: Path, samples: list[str], genes: list[str]) -> Path:
    """Parse Biosciences split-pipe: DGE_filtered/count_matrix.mtx (cells x genes), all_genes.csv, cell_metadata.csv."""
    counts = np.random.default_rng(0).poisson(3, (len(samples), len(genes))) + 1
    rows, columns = np.nonzero(counts)
    body = "".join(f"{r + 1} {c + 1} {counts[r, c]}\n" for r, c in zip(rows, columns, strict=True))
    put(
        folder / "count_matrix.mtx",
        f"%%MatrixMarket matrix coordinate integer general\n{counts.shape[0]} {counts.shape[1]} {len(rows)}\n{body}",
    )
    put(
        folder / "all_genes.csv",
        "gene_id,gene_name,genome\n"
        + "".join(f"ENSG{n:011d},{g},hg38\n" for n, g in enumerate(genes)),
    )
    cells = "".join(
        f"{n:02d}_01_01__s1,{sample},hg38,{n},{n + 50},A{n}\n" for n, sample in enumerate(samples)
    )
    put(
        folder / "cell_metadata.csv",
        f"bc_wells,sample,species,gene_count,tscp_count,bc1_well\n{cells}",
    )
    return folder


GENES = ["PDX1", "INS", "ACTB", "GAPDH", "COL1A1", "RPL3", "VIM"]


def test_parse_tells_its_samples_in_the_table_of_the_cells(tmp_path) -> None:
    """support.parsebiosciences.com, "Output files": cell_metadata.csv has one line per cell, with its sample."""
    loaded = load(
        [_parse(tmp_path / "all-sample" / "DGE_filtered", ["ctrl"] * 5 + ["1"] * 7, GENES)]
    )
    assert loaded.obs["sample"].value_counts().to_dict() == {"1": 7, "ctrl": 5}
    assert "2 samples from cell_metadata.csv column sample (1, ctrl)" in said(loaded)


def test_parse_with_one_sample_is_called_by_its_folder(tmp_path) -> None:
    assert set(
        load([_parse(tmp_path / "exp1" / "DGE_filtered", ["x"] * 9, GENES)]).obs["sample"]
    ) == {"exp1"}


def _aggr(
    batch: Callable[..., anndata.AnnData], write_mtx: Callable[..., Path], listed: str
) -> Path:
    made = batch()
    made.obs_names = [f"{name[:-2]}-{1 + number % 3}" for number, name in enumerate(made.obs_names)]
    out = write_mtx(made, "aggr1/outs/count/filtered_feature_bc_matrix").parents[1]
    if listed:
        put(out / "aggregation.csv", listed)
    return out


def test_aggr_names_the_sample_of_each_well(batch, write_mtx) -> None:
    """10x Genomics, "Aggregating multiple GEM wells with cellranger aggr": well n is line n of aggregation.csv."""
    lines = "sample_id,molecule_h5,donor\nbone,/a.h5,007\nfat,/b.h5,7\ncord,/c.h5,8\n"
    loaded = load([_aggr(batch, write_mtx, lines)])
    wells = pd.Series([read_well(name) for name in loaded.obs_names], index=loaded.obs_names)
    assert (
        loaded.obs["sample"].astype(str) == wells.map({"1": "bone", "2": "fat", "3": "cord"})
    ).all()
    assert told(loaded, "donor") == {"bone": "007", "fat": "7", "cord": "8"}
    assert "3 samples from aggregation.csv (bone, fat, cord)" in said(loaded)


def test_a_run_starts_anew_where_the_list_of_wells_changed(batch, write_mtx) -> None:
    folder = _aggr(batch, write_mtx, "sample_id,molecule_h5\nbone,/a.h5\nfat,/b.h5\ncord,/c.h5\n")

    def fingerprint() -> str:
        config = pipeline.resolve({"inputs": [folder]})
        sources = pipeline._find_sources(config)
        return pipeline._fingerprints(
            config,
            {name: {} for name in pipeline.STEPS},
            pipeline._list_files(config, sources),
            sources,
        )["load"]

    before = fingerprint()
    assert fingerprint() == before
    put(folder / "aggregation.csv", "sample_id,molecule_h5\nbone,/a.h5\nfat,/b.h5\nblood,/c.h5\n")
    assert fingerprint() != before


def test_wells_without_a_list_are_said(batch, write_mtx) -> None:
    loaded = load([_aggr(batch, write_mtx, "")])
    assert set(loaded.obs["sample"]) == {"aggr1"}
    assert "end in the numbers of 3 wells or samples (1, 2, 3), which count as one" in said(loaded)


def test_a_list_of_other_wells_is_refused(batch, write_mtx) -> None:
    with pytest.raises(
        InputError, match=r"barcodes end in -3, but aggregation.csv lists 2 samples"
    ):
        load([_aggr(batch, write_mtx, "library_id,molecule_h5\na,/a.h5\nb,/b.h5\n")])


@pytest.mark.parametrize("below", ["", "outs", "outs/per_sample_outs"])
def test_multi_names_samples_by_their_folder(tmp_path, batch, write_mtx, below: str) -> None:
    """nf-core/scrnaseq#276: cellranger multi writes per_sample_outs/NAME/count/sample_filtered_feature_bc_matrix."""
    for seed, name in enumerate(("Rep1", "Rep2")):
        write_mtx(
            batch(seed=seed),
            f"pool/outs/per_sample_outs/{name}/count/sample_filtered_feature_bc_matrix",
        )
    write_mtx(batch(n_cells=40, seed=2), "pool/outs/multi/count/raw_feature_bc_matrix")
    assert set(load([tmp_path / "pool" / below]).obs["sample"]) == {"Rep1", "Rep2"}


def test_names_before_barcodes_are_said(batch, write) -> None:
    adata = batch()
    adata.obs_names = [f"s{number % 2}_{name}" for number, name in enumerate(adata.obs_names)]
    assert "begin with the names of 2 wells or samples (s0, s1)" in said(load([write(adata)]))


def test_loom_names_samples_in_an_attribute_of_the_cells(tmp_path, batch) -> None:
    import h5py

    made = batch()
    with h5py.File(tmp_path / "v.loom", "w") as handle:
        handle["matrix"] = sparse.csr_matrix(made.X).toarray().T
        text = h5py.string_dtype()
        for place, values in (
            ("row_attrs/Gene", made.var_names),
            ("col_attrs/CellID", made.obs_names),
            ("col_attrs/SampleID", ["a", "b"] * 6),
        ):
            handle.create_dataset(place, data=list(values), dtype=text)
    assert set(load([tmp_path / "v.loom"]).obs["sample"]) == {"a", "b"}
