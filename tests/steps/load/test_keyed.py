"""Samples by a named column: files are split as ``pp.prepare(sample=...)`` splits an object, or refused in a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml

import scdiff
from scdiff.cli import main
from scdiff.errors import ConfigError, InputError
from scdiff.run.pipeline import resolve
from scdiff.steps.load.keyed import sheet_and_key
from scdiff.steps.load.step import load, plan_inputs


@pytest.fixture
def mixed(batch) -> ad.AnnData:
    """A batch with a column ``sample`` of two lanes and a column ``patient`` of three people."""
    made = batch()
    made.obs["sample"] = np.where(np.arange(made.n_obs) % 2, "lane1", "lane2")
    made.obs["patient"] = np.array(["007", "7", "x"])[np.arange(made.n_obs) % 3]
    return made


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
def test_a_named_column_wins_over_the_one_called_sample(tmp_path, mixed, name: str) -> None:
    getattr(mixed, f"write_{name[2:]}")(tmp_path / name)
    adata = load(tmp_path / name, samples={"key": "patient"}, control=["x"])
    assert list(adata.obs["sample"].cat.categories) == ["007", "7", "x"]
    assert adata.obs["control"].sum() == (mixed.obs["patient"] == "x").sum()
    scdiff.pp.prepare(mixed, sample="patient", control=["x"])
    sizes = mixed.uns["scdiff"]["input"]["files"]["n_cells"]
    assert sizes.to_dict() == adata.uns["scdiff"]["input"]["files"]["n_cells"].to_dict()


def test_a_sheet_describes_the_samples_that_the_column_names(tmp_path, mixed, write) -> None:
    write(mixed, "a.h5ad")
    (tmp_path / "s.csv").write_text(
        "sample,path,condition\n007,a.h5ad,treated\n7,a.h5ad,treated\nx,a.h5ad,medium\n"
    )
    adata = load(samples={"sheet": tmp_path / "s.csv", "key": "patient"})
    found = adata.obs.groupby("sample", observed=True)["condition"].first().to_dict()
    assert found == {"007": "treated", "7": "treated", "x": "medium"}


def test_the_table_about_the_cells_of_a_folder_is_read(tmp_path, mixed) -> None:
    from scipy.io import mmwrite

    mmwrite(tmp_path / "matrix.mtx", mixed.X.T.tocoo())
    table = pd.DataFrame(
        {
            "cell": mixed.obs_names,
            "sample": mixed.obs["sample"].to_numpy(),
            "patient": mixed.obs["patient"].to_numpy(),
        }
    )
    table.to_csv(tmp_path / "barcodes.tsv", sep="\t", index=False)
    names = "".join(f"{name}\t{name}\tGene Expression\n" for name in mixed.var_names)
    (tmp_path / "features.tsv.gz").write_bytes(gzip.compress(names.encode()))
    assert [source.sample for source in plan_inputs(tmp_path, samples={"key": "patient"})] == [
        "007",
        "7",
        "x",
    ]


@pytest.mark.parametrize(
    ("key", "error", "said"),
    [
        (
            "patent",
            ConfigError,
            r"samples\.key is 'patent', but there is no such column about the cells\. Did you mean 'patient'",
        ),
        ("barcode", ConfigError, "names .* samples for .* cells: name one with fewer"),
        ("part", InputError, "the column 'part' is empty for 3 of"),
    ],
)
def test_a_column_that_names_no_samples_is_refused(
    mixed, write, key: str, error, said: str
) -> None:
    mixed.obs["barcode"] = mixed.obs_names
    mixed.obs["part"] = mixed.obs["patient"].where(np.arange(mixed.n_obs) > 2)
    path = write(mixed, "a.h5ad")
    with pytest.raises(error, match=said):
        plan_inputs(path, samples={"key": key})
    if key != "patent":
        with pytest.raises(error, match=said):
            scdiff.pp.prepare(mixed, sample=key)


def test_a_layout_without_columns_is_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("gene,c1,c2,c3\nINS,1,0,2\nPDX1,0,1,0\nACTB,5,7,9\n")
    with pytest.raises(
        ConfigError, match=r"this layout \(dense table\) has no columns about the cells"
    ):
        plan_inputs(tmp_path / "a.csv", samples={"key": "patient"})


def test_unknown_fields_have_a_near_match() -> None:
    with pytest.raises(ConfigError, match=r"samples: unknown field 'ky'\. Did you mean 'key'"):
        sheet_and_key({"ky": "patient"})
    with pytest.raises(ConfigError, match=r"unknown option 'ky'.*Did you mean 'key'"):
        resolve({"inputs": ["a.h5ad"], "samples": {"ky": "patient"}})


def test_the_command_and_the_configuration_name_the_column(tmp_path, mixed, write, capsys) -> None:
    path = write(mixed, "a.h5ad")
    assert main(["check", str(path), "--sample-key", "patient"]) == 0
    assert "007" in capsys.readouterr().out
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"inputs": ["a.h5ad"], "samples": {"key": "patient"}}))
    assert main(["check", "--config", str(config)]) == 0
    assert "007" in capsys.readouterr().out
    assert main(["check", str(path), "--sample-key", "patent"]) == ConfigError.exit_code
    assert "Did you mean 'patient'" in capsys.readouterr().err


def test_a_sheet_and_a_column_go_together_on_the_command_line(
    tmp_path, mixed, write, capsys
) -> None:
    write(mixed, "a.h5ad")
    sheet = tmp_path / "s.csv"
    sheet.write_text("sample,path\n007,a.h5ad\n7,a.h5ad\nx,a.h5ad\n")
    assert main(["check", "--samples", str(sheet), "--sample-key", "patient"]) == 0
    assert "007" in capsys.readouterr().out


def test_the_record_of_a_run_repeats_it() -> None:
    config = resolve({"inputs": ["a.h5ad"], "samples": {"key": "patient"}})
    again = resolve(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
    assert again.samples_given == {"sheet": None, "key": "patient"}
    assert resolve({"samples": "s.csv"}).samples_given == Path("s.csv")
