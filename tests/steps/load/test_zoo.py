"""Every layout of the zoo is loaded with exactly its matrix, or refused with a sentence that names the file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from scdiff.errors import ScdiffError
from scdiff.steps.load.step import load

SPEC = importlib.util.spec_from_file_location("scdiff_zoo", Path(__file__).with_name("zoo.py"))
zoo = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = zoo  # dataclasses look their module up
SPEC.loader.exec_module(zoo)

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")  # of zarr 3
VARIANTS = zoo.variants()
NO_RDATA = pytest.mark.skipif(
    importlib.util.find_spec("rdata") is None,
    reason="the package rdata, which parses what R saves, is not installed",
)
LOADABLE = [variant for variant in VARIANTS if not variant.refusal]
REFUSED = [variant for variant in VARIANTS if variant.refusal]


def cases(variants):
    """Variants as parameters, each sixth of them in the fast suite; those of R are left out where nothing reads them."""
    marks = [
        [NO_RDATA] * variant.family.startswith("R") + [pytest.mark.slow] * (number % 6 > 0)
        for number, variant in enumerate(variants)
    ]
    return [
        pytest.param(variant, id=str(variant), marks=of)
        for variant, of in zip(variants, marks, strict=True)
    ]


@pytest.mark.parametrize("variant", cases(LOADABLE))
def test_layout_is_loaded_with_exactly_its_matrix(variant, tmp_path: Path) -> None:
    assert zoo.fault(load(variant.write(tmp_path), **variant.options), variant.expected()) == ""


@pytest.mark.parametrize("variant", cases(REFUSED))
def test_what_is_no_plain_matrix_of_counts_is_refused(variant, tmp_path: Path) -> None:
    given = variant.write(tmp_path)
    with pytest.raises(ScdiffError, match=variant.refusal) as caught:
        load(given, **variant.options)
    assert variant.names in str(caught.value)
    assert "\n" not in str(caught.value)


def test_there_are_at_least_two_hundred_layouts_of_different_names() -> None:
    assert len(LOADABLE) >= 200
    assert len(REFUSED) >= 80
    assert len({str(variant) for variant in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("wrong", ["turned", "shifted", "swapped", "missing", "renamed"])
def test_a_wrong_matrix_does_not_pass(wrong: str, tmp_path: Path) -> None:
    right = load(zoo.write_triple(tmp_path / "f"))
    cells, genes = right.n_obs, right.n_vars
    changed = {
        "turned": lambda: right[:, :cells],
        "shifted": lambda: right[:, [*range(1, genes), 0]],
        "swapped": lambda: right[[1, 0, *range(2, cells)]],
        "missing": lambda: right[:-1],
        "renamed": lambda: right,
    }[wrong]().copy()
    if wrong in ("shifted", "swapped"):
        changed.obs_names, changed.var["name_in_file"] = (
            right.obs_names,
            right.var["name_in_file"].to_numpy(),
        )
    changed.obs["sample"] = ["g" if wrong == "renamed" else "f"] * changed.n_obs
    assert zoo.fault(right, zoo.one("f")()) == ""
    assert zoo.fault(changed, zoo.one("f")()) != ""


def test_the_simulated_counts_stand_in_where_the_real_ones_are_absent(
    monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(zoo, "SHARED_DATA", tmp_path / "absent")
    drawn = zoo.truth.__wrapped__()
    assert drawn.counts.shape == (zoo.N_CELLS, zoo.N_GENES)
    assert len(set(drawn.ids)) == len(set(drawn.symbols)) == zoo.N_GENES
    assert {"INS", "PDX1"} & set(drawn.symbols)
