"""The warning before the run: by what the files state, silent where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scdiff.cli import main
from scdiff.run.memory import RUNTIME, describe_shortage, estimate_bytes, read_available_bytes


@pytest.fixture
def files(tmp_path):
    counts = sparse.random(60, 50, 0.5, "csr", random_state=0, dtype=np.float32)
    AnnData(counts).write_h5ad(tmp_path / "a.h5ad")
    AnnData(counts.toarray()).write_h5ad(tmp_path / "dense.h5ad")
    AnnData(counts).write_zarr(tmp_path / "a.zarr")
    (tmp_path / "a.csv").write_text("gene,c1\nPDX1,1\n")
    (tmp_path / "broken.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n nothing")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "n_values"),
    [("a.h5ad", 1500), ("a.zarr", 1500), ("dense.h5ad", 3000), ("a.csv", 0), ("broken.h5ad", 0)],
)
def test_need_is_read_off_the_file(files, name, n_values):
    assert estimate_bytes([files / name]) == (int(1.7 * 8 * n_values) + RUNTIME if n_values else 0)


def test_what_does_not_fit_is_said_with_the_way_out(files):
    told = describe_shortage([files / "a.h5ad"], room=100 << 20)
    assert "needs about 0.5 GiB of memory, but only 0.1 GiB are free" in told
    assert "--engine dask" in told
    assert describe_shortage([files / "a.h5ad"], room=2 << 30) == ""
    assert describe_shortage([files / "a.h5ad"], room=0) == ""


def test_this_machine_has_memory_free():
    assert read_available_bytes() > 1 << 20


def test_a_run_warns_before_it_starts(files, monkeypatch, capsys):
    monkeypatch.setattr("scdiff.run.memory.read_available_bytes", lambda: 1 << 20)
    main(["run", str(files / "a.h5ad"), "--out", str(files / "out")])
    shown = capsys.readouterr().err
    assert "so the system may stop it" in shown
    assert shown.index("so the system may stop it") < shown.index("load")
