"""What a run has finished is stored whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scdiff.errors import OutputError
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.checkpoint import Checkpoints


@pytest.fixture
def adata() -> AnnData:
    """Object with something in every slot."""
    rng = np.random.default_rng(0)
    made = AnnData(
        layers={"counts": sparse.csr_matrix(rng.poisson(1.0, (6, 4)).astype(np.float32))}
    )
    made.obs["kind"] = pd.Categorical(list("aabbab"))
    made.obsm["place"] = rng.normal(size=(6, 2))
    made.obsm["scdiff_score"] = pd.DataFrame({"p:mean": rng.normal(size=6)}, index=made.obs_names)
    made.obsp["connectivities"] = sparse.csr_matrix(np.eye(6))
    made.uns["scdiff"] = {"input": {"species": "human"}, "call": {"none": np.array([], dtype=str)}}
    return made


@pytest.fixture
def stored(tmp_path: Path, adata: AnnData) -> Checkpoints:
    """Three finished steps."""
    checkpoints = Checkpoints(tmp_path / "out")
    for step in ("load", "qc", "embed"):
        adata.uns["scdiff"]["last"] = step
        checkpoints.save(
            adata, step, fingerprint=f"print of {step}", seconds=11.5 if step == "load" else 1.5
        )
    return checkpoints


def test_a_new_folder_has_nothing_finished(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "a" / "b").finished() == []
    assert (tmp_path / "a" / "b" / ".scdiff").is_dir()


def test_what_was_stored_comes_back(stored: Checkpoints, adata: AnnData) -> None:
    back = stored.restore()
    assert back.X is None
    assert (back.layers["counts"] != adata.layers["counts"]).nnz == 0
    assert back.uns["scdiff"]["last"] == "embed"
    np.testing.assert_array_equal(back.obsm["place"], adata.obsm["place"])
    pd.testing.assert_frame_equal(back.obsm["scdiff_score"], adata.obsm["scdiff_score"])
    pd.testing.assert_series_equal(back.obs["kind"], adata.obs["kind"])
    assert (back.obsp["connectivities"] != adata.obsp["connectivities"]).nnz == 0


def slots_of(checkpoints: Checkpoints) -> dict[str, set[str]]:
    """What each file holds."""
    import h5py

    found = {}
    for path in sorted(checkpoints.folder.glob("*.h5")):
        with h5py.File(path) as handle:
            found[path.name] = {
                f"{group}/{name}"
                for group in ("layers", "obsm", "obsp")
                if group in handle
                for name in handle[group]
            }
    return found


def test_a_step_stores_what_it_changed(stored: Checkpoints, adata: AnnData) -> None:
    assert slots_of(stored) == {
        "00_load.h5": {"layers/counts", "obsm/place", "obsm/scdiff_score", "obsp/connectivities"},
        "01_qc.h5": set(),
        "02_embed.h5": set(),
    }
    adata.obsm["place"] = adata.obsm["place"] + 1.0
    adata.uns["scdiff"]["call"]["more"] = 2.0
    del adata.obsp["connectivities"]
    stored.save(adata, "call", fingerprint="x", seconds=0.1)
    assert slots_of(stored)["03_call.h5"] == {"obsm/place"}
    back = stored.restore()
    np.testing.assert_array_equal(back.obsm["place"], adata.obsm["place"])
    assert (back.uns["scdiff"]["call"]["more"], back.uns["scdiff"]["last"], list(back.obsp)) == (
        2.0,
        "embed",
        [],
    )


def test_counts_that_were_read_fast_are_not_stored(tmp_path: Path, adata: AnnData) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(adata, "load", fingerprint="x", seconds=1.0)
    assert "layers/counts" not in slots_of(checkpoints)["00_load.h5"]
    assert "counts" not in checkpoints.restore().layers


def test_stored_counts_follow_the_cells_that_are_left(stored: Checkpoints, adata: AnnData) -> None:
    left = adata[[4, 0, 5], [2, 0]].copy()
    stored.save(left, "qc", fingerprint="x", seconds=1.0)
    stored.save(left, "embed", fingerprint="x", seconds=1.0)
    back = Checkpoints(stored.folder.parent).restore()
    np.testing.assert_array_equal(back.layers["counts"].toarray(), left.layers["counts"].toarray())
    assert list(back.obs_names) == list(left.obs_names)


def test_entries_say_what_was_done(stored: Checkpoints) -> None:
    assert [
        (entry["step"], entry["fingerprint"], entry["seconds"]) for entry in stored.finished()
    ] == [
        ("load", "print of load", 11.5),
        ("qc", "print of qc", 1.5),
        ("embed", "print of embed", 1.5),
    ]


def test_storing_leaves_the_object_as_it_is(stored: Checkpoints, adata: AnnData) -> None:
    assert list(adata.layers) == ["counts"]
    assert set(adata.obsp) == {"connectivities"}


def test_steps_can_be_forgotten(stored: Checkpoints) -> None:
    stored.keep(1)
    assert [entry["step"] for entry in stored.finished()] == ["load"]
    assert stored.restore().uns["scdiff"]["last"] == "load"


@pytest.mark.parametrize(
    ("name", "n_intact"),
    [("00_load.h5", 0), ("01_qc.h5", 3), ("02_embed.h5", 2)],
    ids=["load", "qc", "embed"],
)
@pytest.mark.parametrize("damage", ["truncated", "missing", "one bit", "empty"])
def test_damage_is_found(
    stored: Checkpoints, caplog, name: str, n_intact: int, damage: str
) -> None:
    path = stored.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"truncated": data[: len(data) // 2], "one bit": data, "empty": b""}[damage]
        )
    assert stored.n_intact(3) == n_intact
    assert ("is damaged: it is computed again" in caplog.text) == (n_intact < 3)


@pytest.mark.parametrize(
    "record", ["", "{", "[]", "{}", "3", "null", "[3]", '[{"step": "load"}]', '"text"', "\x00"]
)
def test_a_damaged_record_means_that_nothing_is_finished(stored: Checkpoints, record: str) -> None:
    (stored.folder / "state.json").write_text(record)
    assert stored.finished() == []
    assert stored.n_intact(0) == 0


def test_a_record_that_is_no_text(stored: Checkpoints) -> None:
    (stored.folder / "state.json").write_bytes(b"\xff\xfe\x80")
    assert stored.finished() == []


def test_a_failed_write_leaves_the_record_alone(stored: Checkpoints, adata: AnnData) -> None:
    adata.uns["bad"] = object()
    before = (stored.folder / "state.json").read_text()
    with pytest.raises(Exception, match="No method registered for writing"):
        stored.save(adata, "score", fingerprint="x", seconds=0.0)
    assert (stored.folder / "state.json").read_text() == before
    assert sorted(path.name for path in stored.folder.iterdir()) == [
        "00_load.h5",
        "01_qc.h5",
        "02_embed.h5",
        "state.json",
    ]


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    said = r"another run is writing to this folder\. Wait for it, or give another --out"
    with first.locked(), pytest.raises(OutputError, match=said), second.locked():
        pytest.fail("the lock did not hold")
    with second.locked():
        assert second.finished() == []


def test_an_error_inside_the_lock_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="of another kind"), Checkpoints(tmp_path).locked():
        raise BlockingIOError("of another kind")


def test_a_file_system_without_locks_is_taken_as_it_is(tmp_path: Path, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("scdiff.storage.checkpoint.fcntl.flock", refuse)
    with caplog.at_level("INFO", logger="scdiff"), Checkpoints(tmp_path).locked():
        assert "this file system has no locks (Function not implemented)" in caplog.text


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OutputError,
        match=r"file/out: the output folder cannot be written \(Not a directory\). Give another with --out",
    ):
        Checkpoints(tmp_path / "file" / "out")


def test_a_folder_whose_lock_cannot_be_opened(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (checkpoints.folder / "lock").mkdir()
    with (
        pytest.raises(OutputError, match=r"the output folder cannot be written \(Is a directory\)"),
        checkpoints.locked(),
    ):
        pytest.fail("there is no lock")


# --- replaced -------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replace_atomically(path) as partial:
        partial.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert [child.name for child in path.parent.iterdir()] == ["a.txt"]


def test_a_file_stays_when_something_failed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_midway() -> None:
        with replace_atomically(path) as partial:
            partial.write_text("half")
            raise ValueError("midway")

    with pytest.raises(ValueError, match="midway"):
        fail_midway()
    assert [(child.name, child.read_text()) for child in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left on device\)"),
        replace_atomically(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


def test_a_path_below_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"a\.txt: cannot be written"),
        replace_atomically(tmp_path / "file" / "a.txt"),
    ):
        pytest.fail("there is no such folder")


def test_the_record_is_json_that_people_can_read(stored: Checkpoints) -> None:
    entries = json.loads((stored.folder / "state.json").read_text())
    assert [entry["file"] for entry in entries] == ["00_load.h5", "01_qc.h5", "02_embed.h5"]
    assert all(len(entry["sha256"]) == 64 for entry in entries)
