"""The engine dask: the same tables as in memory, on real worker processes, one of them killed in mid-run."""

from __future__ import annotations

import os
import signal
import threading
import time

import anndata
import numpy as np
import pytest

from scdiff.cli import main
from scdiff.compute.cluster import cluster
from scdiff.errors import ConfigError
from scdiff.simulate import BatchDesign, simulate

distributed = pytest.importorskip("dask.distributed")
FAST = (
    "--set",
    "call.null_sets=0",
    "--set",
    "programs=[pancreatic_progenitor, vegf, msc_identity]",
    "--quiet",
)


@pytest.fixture(scope="session")
def batch(made_once):
    """One simulated batch as h5ad and as zarr."""

    def fill(folder):
        made = simulate(
            n_cells=900, fraction=0.1, design=BatchDesign(n_genes=500, donors=3), seed=1
        )
        made.write_h5ad(folder / "batch.h5ad")
        made.write_zarr(folder / "batch.zarr")

    return made_once("lazy", fill)


@pytest.fixture(scope="session")
def in_memory(batch, made_once):
    return made_once(
        "in_memory",
        lambda folder: main(["run", str(batch / "batch.h5ad"), "--out", str(folder), *FAST]),
    )


def _tables(folder):
    names = ("fractions.csv", "axes.csv", "qc_dropped.csv", "trajectory_committed.csv")
    return {name: (folder / "tables" / name).read_text() for name in names}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("batch.h5ad", marks=pytest.mark.long),
        pytest.param("batch.zarr", marks=pytest.mark.long),
    ],
)
def test_tables_are_those_of_memory_bit_for_bit(batch, in_memory, tmp_path, name):
    assert main(["run", str(batch / name), "--out", str(tmp_path), "--engine", "dask", *FAST]) == 0
    assert _tables(tmp_path) == _tables(in_memory)
    here, there = (anndata.read_h5ad(folder / "result.h5ad") for folder in (in_memory, tmp_path))
    np.testing.assert_array_equal(here.obsm["X_umap"], there.obsm["X_umap"])
    np.testing.assert_array_equal(here.X.data, there.X.data)


@pytest.mark.long
def test_a_killed_worker_is_made_up_for(batch, in_memory, tmp_path):
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as local:
        killed = []

        def kill_one() -> None:
            time.sleep(4)
            killed.append(next(iter(local.workers.values())).process.pid)
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        options = ["--engine", "dask", "--scheduler", local.scheduler_address]
        assert (
            main(["run", str(batch / "batch.zarr"), "--out", str(tmp_path), *options, *FAST]) == 0
        )
        killer.join()
    assert killed
    assert _tables(tmp_path) == _tables(in_memory)


@pytest.mark.long
def test_a_run_on_disk_resumes(batch, tmp_path):
    options = ["--out", str(tmp_path), "--engine", "dask", *FAST]
    assert main(["run", str(batch / "batch.zarr"), *options]) == 0
    before = _tables(tmp_path)
    assert main(["run", str(batch / "batch.zarr"), *options, "--from", "fraction"]) == 0
    assert _tables(tmp_path) == before


@pytest.mark.long
def test_zarr_is_read_into_memory_as_well(batch, in_memory, tmp_path):
    assert main(["run", str(batch / "batch.zarr"), "--out", str(tmp_path), *FAST]) == 0
    assert _tables(tmp_path) == _tables(in_memory)


def test_a_scheduler_without_the_engine_is_refused():
    with (
        pytest.raises(ConfigError, match=r"scheduler is 'tcp://a:1', but the engine is memory"),
        cluster("memory", "tcp://a:1"),
    ):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("scdiff.compute.cluster.WAIT_SECONDS", 1)
    with (
        pytest.raises(ConfigError, match=r"tcp://127.0.0.1:9: no dask scheduler answers"),
        cluster("dask", "tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dense", "is stored as array; the engine dask reads sparse matrices stored by cell"),
        ("twice", "some gene symbols have several rows"),
    ],
)
def test_what_cannot_stay_on_disk_is_refused_with_the_cure(
    batch, tmp_path, capsys, change, message
):
    made = anndata.read_h5ad(batch / "batch.h5ad")
    del made.layers["counts"]
    if change == "dense":
        made.X = made.X.toarray()
    else:
        made.var_names = ["PDX1", "PDX1", *made.var_names[2:]]
    made.write_h5ad(tmp_path / "other.h5ad")
    assert (
        main(
            [
                "run",
                str(tmp_path / "other.h5ad"),
                "--out",
                str(tmp_path / "out"),
                "--engine",
                "dask",
                "--quiet",
            ]
        )
        != 0
    )
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_text_table_needs_the_engine_memory(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("gene,c1,c2,c3\nPDX1,1,2,0\nINS,0,3,1\n")
    assert (
        main(
            [
                "run",
                str(tmp_path / "a.csv"),
                "--out",
                str(tmp_path / "out"),
                "--engine",
                "dask",
                "--quiet",
            ]
        )
        != 0
    )
    assert "the engine dask reads h5ad and zarr, not dense table" in capsys.readouterr().err
