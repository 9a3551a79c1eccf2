"""Every contract with an upstream tool is kept: exact counts, cells, genes and samples, or a refusal that says what to do."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scdiff.errors import InputError
from scdiff.steps.load.step import load, look_at, plan_inputs

SPEC = importlib.util.spec_from_file_location(
    "scdiff_contracts", Path(__file__).with_name("contracts.py")
)
contracts = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = contracts  # dataclasses look their module up
SPEC.loader.exec_module(contracts)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Consolidated metadata", "ignore:Variable names are not unique"
)
CONTRACTS = contracts.CONTRACTS
BY_NAME = {contract.name: contract for contract in CONTRACTS}


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_a_contract_is_kept(contract, tmp_path: Path) -> None:
    verdict = contracts.judge(contract, tmp_path)
    assert verdict.holds, f"{verdict.found}: {verdict.why}"


def test_there_are_at_least_sixty_layouts_each_with_its_page() -> None:
    assert len(CONTRACTS) == len(BY_NAME) >= 60
    assert sum(contract.right is not None for contract in CONTRACTS) >= 55
    assert all(contract.page.startswith("https://") for contract in CONTRACTS)
    assert all((contract.right is None) == bool(contract.refusal) for contract in CONTRACTS)


SAME = {
    "Cell Ranger count: filtered_feature_bc_matrix/": {},
    "Cell Ranger count: filtered_feature_bc_matrix.h5": {},
    "alevin-fry: USA mode, nuclei (S+U+A)": {"matrix": "S+U+A"},
    "simpleaf: quants.h5ad, nuclei (S+U+A)": {"matrix": "S+U+A"},
    "kb count: nac": {},
    "kb count: nac, adata.h5ad (X is mature)": {},
    "STARsolo: Velocyto alone": {},
    "STARsolo before 2.7.9: Velocyto with three values a line": {},
}


def table(name: str, folder: Path) -> pd.DataFrame:
    """Counts that a layout gives, cells and genes sorted by name."""
    folder.mkdir()
    adata = load(BY_NAME[name].write(folder), **SAME[name])
    cells = [cell.rpartition(":")[2].removesuffix("-1") for cell in adata.obs_names]
    return (
        pd.DataFrame(adata.layers["counts"].toarray(), cells, list(adata.var_names))
        .sort_index()
        .sort_index(axis=1)
    )


def test_all_forms_of_the_same_cells_give_the_same_counts(tmp_path: Path) -> None:
    """USA mode, nac and 10x: the same matrix, so that all that follows is the same."""
    first, *others = (table(name, tmp_path / str(number)) for number, name in enumerate(SAME))
    for other in others:
        pd.testing.assert_frame_equal(other, first)


LAYERED = [
    "STARsolo: Gene and Velocyto",
    "STARsolo before 2.7.9: Gene and Velocyto",
    "kb count: nac",
    "velocyto run10x: loom",
]


@pytest.mark.parametrize("name", LAYERED)
def test_parts_are_kept_as_layers(name: str, tmp_path: Path) -> None:
    adata = load(BY_NAME[name].write(tmp_path))
    for part in ("spliced", "unspliced"):
        total = pd.Series(np.asarray(adata.layers[part].sum(axis=0)).ravel(), adata.var_names)
        assert total[list(contracts.HUMAN)].tolist() == contracts.PARTS[part].sum().tolist()


@pytest.mark.parametrize(
    "contract", [contract for contract in CONTRACTS if "Sample_Tag" in contract.name], ids=str
)
def test_check_tells_the_samples_of_tags(contract, tmp_path: Path) -> None:
    looks, faults = look_at(plan_inputs(contract.write(tmp_path)))
    assert not faults
    assert {look.source.sample: look.n_cells for look in looks} == {"ctrl": 22, "treated": 20}
    assert any("4 Multiplet, 2 Undetermined" in sentence for sentence in looks[0].said)


def test_calls_of_another_run_are_not_used(tmp_path: Path) -> None:
    contracts.sample_tags(tmp_path)
    given = contracts.rhapsody_csv(tmp_path).rename(tmp_path / "other_RSEC_MolsPerCell.csv")
    assert set(load(given).obs["sample"]) == {"other"}


def test_an_entry_of_four_fields_is_refused(tmp_path: Path) -> None:
    """More values a line than one were read as one, and nothing said so."""
    folder = contracts.mex(tmp_path / "s1", contracts.TOTAL, gz="")
    heading, comment, sizes, *entries = (folder / "matrix.mtx").read_text().splitlines()
    (folder / "matrix.mtx").write_text(
        "\n".join([heading, comment, sizes, *(f"{entry} 1" for entry in entries), ""])
    )
    with pytest.raises(
        InputError, match="an entry of the matrix has 4 fields, not row, column and value"
    ):
        load(folder)


def test_a_table_that_names_no_gene_is_passed_over_only_beside_a_matrix(tmp_path: Path) -> None:
    numbers = "CB\tCorrectedReads\tMappedReads\nACGTACGTACGTACGT\t10\t9\nACGTACGTACGTACGA\t10\t9\n"
    contracts.put(tmp_path / "a/featureDump.txt", numbers)
    with pytest.raises(InputError, match="genes"):
        load(tmp_path / "a")
    contracts.mex(tmp_path / "a/filtered", contracts.TOTAL)
    assert load(tmp_path / "a").n_obs == contracts.N_CELLS


@pytest.mark.parametrize("wrong", ["samples", "cells", "genes", "counts"])
def test_a_wrong_answer_does_not_pass(wrong: str, tmp_path: Path) -> None:
    right = load(BY_NAME["Parse: all-sample/DGE_filtered"].write(tmp_path))
    changed = {
        "samples": lambda: setattr(right, "obs", right.obs.assign(sample="one")),
        "cells": lambda: setattr(right, "obs_names", [*right.obs_names[1:], right.obs_names[0]]),
        "genes": lambda: setattr(right, "var_names", [*right.var_names[1:], "X"]),
        "counts": lambda: right.layers["counts"].data.__setitem__(0, 99),
    }
    assert contracts.compared(right, contracts.halves(contracts.PARSED)).holds
    changed[wrong]()
    assert not contracts.compared(right, contracts.halves(contracts.PARSED)).holds
