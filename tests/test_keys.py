"""Promise and deed: each step writes the keys that it owns, of the promised kind, and touches no other."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scdiff
from scdiff.errors import MissingKeyError
from scdiff.keys import KEYS, READS, ROOT, Key, has, list_written, require, slot_of
from scdiff.run.pipeline import STEPS, resolve, step_functions

PACKAGE = Path(scdiff.__file__).parent
SLOTS = ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns")
CUSTOMARY = {
    "uns": {
        "log1p",
        "hvg",
        "pca",
        "neighbors",
        "umap",
        "leiden",
        "paga",
        "diffmap_evals",
        "scrublet",
        "iroot",
    },
    "varm": {"PCs"},
}
"""What scanpy's own functions leave behind besides their results."""


BESIDE = ("compare", "dose", "panel")
"""Steps that stand beside the pipeline."""


def digest(value: Any) -> str:
    """Hash of any value of a slot."""
    if isinstance(value, Mapping):
        return digest(sorted((str(key), digest(part)) for key, part in value.items()))
    if sparse.issparse(value):
        value = value.toarray()
    if isinstance(value, pd.DataFrame | pd.Series):
        value = value.to_csv()
    content = (
        value.tobytes()
        if isinstance(value, np.ndarray) and value.dtype != object
        else repr(value).encode()
    )
    return hashlib.sha256(content).hexdigest()


def content(adata: AnnData) -> dict[tuple[str, str], str]:
    """Hash of each entry of an object; our own part of uns entry by entry."""
    found = {
        (slot, str(name)): digest(getattr(adata, slot)[name])
        for slot in SLOTS
        for name in getattr(adata, slot)
        if name is not None
    }
    found |= {("X", ""): "none" if adata.X is None else digest(adata.X)}
    found |= {
        ("scdiff", name): digest(value) for name, value in adata.uns.get("scdiff", {}).items()
    }
    return {key: value for key, value in found.items() if key != ("uns", "scdiff")}


def place(key: Key) -> tuple[str, str]:
    """Place of a key in :func:`content`."""
    return ({"uns": "scdiff", "palette": "uns"}.get(key.slot, key.slot), key.name)


@pytest.fixture(scope="module")
def history(small_input) -> dict[str, tuple[AnnData, AnnData]]:
    """The object before and after each step but load and report."""
    functions = step_functions()
    adata = functions["load"]([small_input], control=["control1"])
    found = {}
    for name in STEPS[1:-1]:
        before = adata.copy()
        functions[name](adata)
        found[name] = (before, adata.copy())
    return found


@pytest.fixture(scope="module")
def loaded(history) -> AnnData:
    """The object after load."""
    return history["qc"][0]


def held(adata: AnnData, key: Key) -> Any:
    """Value of a key."""
    if key.slot == "X":
        return adata.X
    return slot_of(adata, key.slot)[key.name]


KINDS = {
    "int": lambda value: np.array_equal(
        getattr(value, "data", value), np.round(getattr(value, "data", value))
    ),
    "float": lambda value: np.issubdtype(
        getattr(value, "data", value).dtype if sparse.issparse(value) else value.dtype, np.floating
    ),
    "bool": lambda value: value.dtype == bool,
    "category": lambda value: isinstance(value.dtype, pd.CategoricalDtype),
    "str": lambda value: all(isinstance(text, str) for text in value),
    "dict": lambda value: isinstance(value, Mapping),
    "frame": lambda value: isinstance(value, pd.DataFrame),
}


def test_each_key_has_one_owner_that_is_a_step() -> None:
    assert len({place(key) for key in KEYS}) == len(KEYS)
    assert {key.writer for key in KEYS} <= {*STEPS, "pipeline", "prepare", *BESIDE}
    assert {key.dtype for key in KEYS} <= set(KINDS)
    assert all(key.meaning for key in KEYS)


def test_steps_read_only_what_an_earlier_step_wrote() -> None:
    assert set(READS) <= {*STEPS, *BESIDE}
    for name, read in READS.items():
        for key in read:
            assert STEPS.index(key.writer) < (*STEPS, *BESIDE).index(name), (
                f"{name} reads {key}, which {key.writer} writes later"
            )


def test_keys_are_shown_as_users_write_them() -> None:
    assert {"X", 'obs["sample"]', 'uns["scdiff"]["qc"]', 'layers["counts"]'} <= {
        str(key) for key in KEYS
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [key for key in KEYS if key.writer not in ("pipeline", "load", "prepare", "report", *BESIDE)],
    ids=str,
)
def test_a_step_writes_what_it_promised(history, key: Key) -> None:
    before, after = history[key.writer]
    assert not has(before, key)
    assert has(after, key)
    assert KINDS[key.dtype](held(after, key)), f"{key} is no {key.dtype}"


@pytest.mark.parametrize("key", list_written("load"), ids=str)
def test_load_writes_what_it_promised(loaded: AnnData, key: Key) -> None:
    assert has(loaded, key)
    assert KINDS[key.dtype](held(loaded, key))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS[1:-1])
def test_a_step_touches_only_its_own_keys(history, name: str) -> None:
    before, after = history[name]
    if before.n_obs != after.n_obs:
        before = before[after.obs_names].copy()
    old, new = content(before), content(after)
    changed = {entry for entry in old.keys() | new.keys() if old.get(entry) != new.get(entry)}
    own = {place(key) for key in list_written(name)} | {
        (slot, entry) for slot, entries in CUSTOMARY.items() for entry in entries
    }
    assert changed <= own
    assert old.keys() <= new.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS[1:-1])
def test_only_qc_drops_cells_and_none_drops_genes(history, name: str) -> None:
    before, after = history[name]
    assert list(after.var_names) == list(before.var_names)
    assert list(after.obs_names) == [
        cell for cell in before.obs_names if cell in set(after.obs_names)
    ]
    assert name == "qc" or after.n_obs == before.n_obs


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_a_missing_key_names_the_step_to_run_first(history, name: str) -> None:
    complete = history["communicate"][1]
    for key in READS[name]:
        adata = complete.copy()
        if key.slot == "X":
            del adata.uns["log1p"]
        elif key.slot == "uns":
            del adata.uns["scdiff"][key.name]
        else:
            del getattr(adata, key.slot)[key.name]
        first = (
            r"run scdiff\.pp\.prepare\(adata\) first"
            if key.writer == "load"
            else f"run {key.writer} first"
        )
        with pytest.raises(MissingKeyError, match=f"{name} reads .*: {first}"):
            require(adata, name)
    require(complete, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in READS if name not in ("report", *BESIDE)])
def test_what_a_step_reads_is_enough(history, name: str) -> None:
    """Everything else is taken away: the step must not need it."""
    before = history[name][0]
    needed = {place(key) for key in READS[name]} | {
        ("uns", "log1p"),
        ("uns", "neighbors"),
        ("obs", "control"),
    }
    bare = AnnData(
        X=before.X,
        obs=pd.DataFrame(index=before.obs_names),
        var=pd.DataFrame(index=before.var_names),
    )
    for slot, entry in content(before):
        if (slot, entry) in needed and slot == "scdiff":
            bare.uns.setdefault("scdiff", {})[entry] = before.uns["scdiff"][entry]
        elif (slot, entry) in needed and slot != "X":
            getattr(bare, slot)[entry] = getattr(before, slot)[entry]
    step_functions()[name](bare)
    assert all(has(bare, key) for key in list_written(name))


@pytest.mark.slow
def test_a_resolved_run_writes_its_own_key(small_input, tmp_path, no_figures) -> None:
    from scdiff.run.pipeline import run

    adata = run(
        resolve(
            {
                "inputs": [small_input],
                "programs": ["pancreatic_progenitor"],
                "report": {"dose_cells": 1e6},
            }
        ),
        tmp_path / "out",
    )
    assert all(
        has(adata, key) and KINDS[key.dtype](held(adata, key)) for key in list_written("report")
    )
    assert set(adata.uns["scdiff"]["dose"]["dose_cells"]) == {1e6}
    (key,) = list_written("pipeline")
    assert has(adata, key)
    assert set(held(adata, key)) == {"options", "versions", "seconds"}
    assert (
        set(held(adata, key)["options"]) == {*held(adata, key)["seconds"], "report"} == set(STEPS)
    )


# --- owners of the names ------------------------------------------------------------------------------------


NAMES = {(key.slot, key.name) for key in KEYS}


def name_literal_keys(path: Path) -> list[str]:
    """Subscripts such as ``obs["sample"]`` whose name keys.py owns, with their lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Subscript(value=ast.Attribute(attr=slot), slice=ast.Constant(value=str(name))):
                if (slot, name) in NAMES - {("uns", name)} or (slot, name) == ("uns", ROOT):
                    found.append(f'{path.name}:{node.lineno}: {slot}["{name}"]')
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_no_module_spells_a_key_that_keys_owns(path: Path) -> None:
    assert name_literal_keys(path) == []


def test_a_spelled_key_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'adata.obs["sample"]\nadata.uns["scdiff"]["call"]\nadata.obs["x"]\n'
    )
    assert len(name_literal_keys(tmp_path / "a.py")) == 2
