"""Files that lead out of themselves or round in circles (CVE-like reports: HDF5 external storage, h5py#1478; scverse/anndata#2152)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from scipy import sparse

from scdiff.cli import main
from scdiff.errors import ScdiffError
from scdiff.steps.load.readers.links import find_foreign_link
from scdiff.steps.load.step import load, look_at, plan_inputs

SECRET = b"a password that stands outside"


def external_storage(path: Path, secret: Path) -> None:
    with h5py.File(path, "a") as handle:
        handle.create_dataset(
            "obs/note", shape=(12,), dtype="S4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )


def external_link(path: Path, secret: Path) -> None:
    with h5py.File(path, "a") as handle:
        handle["layers/counts"] = h5py.ExternalLink(str(secret), "/X")


def virtual_dataset(path: Path, secret: Path) -> None:
    layout = h5py.VirtualLayout(shape=(12,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", shape=(12,))
    with h5py.File(path, "a") as handle:
        handle.create_virtual_dataset("obs/n", layout)


def soft_loop(path: Path, secret: Path) -> None:
    with h5py.File(path, "a") as handle:
        handle["layers/again"] = h5py.SoftLink("/")


def hard_loop(path: Path, secret: Path) -> None:
    with h5py.File(path, "a") as handle:
        handle["layers/again"] = handle["/layers"]


def hard_bomb(path: Path, secret: Path) -> None:
    with h5py.File(path, "a") as handle:
        below = handle.create_group("uns/last")
        for depth in range(40):
            group = handle.create_group(f"uns/g{depth}")
            group["a"], group["b"] = below, below
            below = group


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external_storage, r"/obs/note has its values in another file"),
        (external_link, r"/layers/counts is a link to another file"),
        (virtual_dataset, r"/obs/n is a virtual array"),
        (soft_loop, r"/layers/again leads back to a group that contains it"),
        (hard_loop, r"/layers/again leads back to a group that contains it"),
        (hard_bomb, r"more than 100,000 paths lead to its groups"),
    ],
)
def test_a_file_that_leads_out_or_round_is_refused_at_once(
    write, tmp_path, change: Callable[[Path, Path], None], said: str
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    path = write()
    change(path, tmp_path / "secret")
    begun = time.monotonic()
    with pytest.raises(ScdiffError, match=said):
        load(path)
    assert time.monotonic() - begun < 10


def test_what_cannot_be_opened_does_not_hide_a_link_behind_it(write) -> None:
    with h5py.File(write(), "a") as handle:
        handle["a"] = h5py.SoftLink("/nowhere")
        handle["b"] = h5py.ExternalLink("/etc/passwd", "/x")
        assert "link to another file" in find_foreign_link(handle)


def test_the_same_matrix_in_two_places_of_a_file_is_read(write) -> None:
    path = write()
    with h5py.File(path, "a") as handle:
        handle["layers/counts"], handle["layers/again"] = handle["X"], h5py.SoftLink("/X")
    assert load(path).shape == (12, 8)


@pytest.mark.parametrize(
    "name", ["batch.h5ad", "counts.csv", "matrix.mtx.gz", "data.tar", "x.zarr"]
)
def test_a_fifo_or_device_is_refused_at_once(tmp_path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ScdiffError, match="is a FIFO, not a file"):
        plan_inputs(tmp_path / name)
    with pytest.raises(ScdiffError, match="is a device, not a file"):
        plan_inputs(Path("/dev/zero"))


def test_the_process_that_looks_first_ends_with_its_parent(tmp_path) -> None:
    script = f"""
        import os, time
        from pathlib import Path
        from scdiff.steps.load.readers import probe
        def walk(path, said):
            Path({str(tmp_path / "child")!r}).write_text(str(os.getpid()))
            while True: pass
        probe._walk = walk
        probe.probe(Path("x.h5ad"))
    """
    running = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    until = time.monotonic() + 60
    while time.monotonic() < until and not (
        (tmp_path / "child").exists() and (tmp_path / "child").read_text()
    ):
        time.sleep(0.05)
    child = int((tmp_path / "child").read_text())
    running.send_signal(signal.SIGTERM)
    running.wait(10)
    time.sleep(0.3)
    assert (
        not Path(f"/proc/{child}").exists()
        or "State:\tZ" in Path(f"/proc/{child}/status").read_text()
    )


def zarr_of(batch, tmp_path: Path) -> Path:
    batch().write_zarr(tmp_path / "x.zarr")
    return tmp_path / "x.zarr"


def test_a_link_out_of_a_zarr_store_is_refused(batch, tmp_path) -> None:
    store = zarr_of(batch, tmp_path)
    chunk = next(
        file
        for file in (store / "X" / "data").rglob("*")
        if file.is_file() and file.name not in (".zarray", ".zattrs", "zarr.json")
    )
    (tmp_path / "secret").write_bytes(SECRET)
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(ScdiffError, match="leads out of the store"):
        load(store)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(ScdiffError, match="is a FIFO"):
        load(store)


def test_a_link_within_a_zarr_store_and_a_link_to_it_are_read(batch, tmp_path) -> None:
    store = zarr_of(batch, tmp_path)
    (tmp_path / "other.zarr").symlink_to(store)
    assert load(tmp_path / "other.zarr").shape == (12, 8)


PICKLED = '{"zarr_format": 2, "shape": [12], "chunks": [12], "dtype": "|O", "fill_value": null, "order": "C", '


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "obs/note/.zarray",
            PICKLED + '"compressor": null, "filters": [{"id": "pickle", "protocol": 5}]}',
        ),
        ("obs/note/.zarray", PICKLED + '"compressor": {"id": "pickle"}, "filters": null}'),
        (
            ".zmetadata",
            '{"zarr_consolidated_format": 1, "metadata": {"X/.zarray": '
            + PICKLED
            + '"filters": [{"id": "pickle"}]}}}',
        ),
        (
            "obs/note/zarr.json",
            '{"zarr_format": 3, "node_type": "array", "codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}',
        ),
        (
            "obs/note/zarr.json",
            '{"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}], "index_codecs": []}}]}',
        ),
    ],
)
def test_a_codec_that_runs_code_is_refused(batch, tmp_path, name: str, text: str) -> None:
    """numcodecs below 0.16.6 unpickles what a store names the codec pickle for (zarr-developers/numcodecs, advisory of 2025)."""
    store = zarr_of(batch, tmp_path)
    (store / name).parent.mkdir(parents=True, exist_ok=True)
    (store / name).write_text(text)
    with pytest.raises(
        ScdiffError, match=r"codec '(numcodecs\.)?pickle', which scdiff does not read"
    ):
        load(store)


def test_a_result_that_leads_out_is_not_read(write, tmp_path, capsys) -> None:
    path = write()
    external_storage(path, tmp_path / "secret")
    assert main(["report", str(path)]) == 3
    assert "has its values in another file" in capsys.readouterr().err
    assert main(["report", "/dev/zero"]) == 3


def test_check_refuses_what_the_engine_dask_does_not_read(batch, write, write_mtx) -> None:
    for path in (write_mtx(batch()), write(sparse.csc_matrix(batch().X))):
        with pytest.raises(ScdiffError) as caught:
            load(path, engine="dask")
        assert look_at(plan_inputs(path), engine="dask")[1] == [str(caught.value)]
        assert look_at(plan_inputs(path))[1] == []
