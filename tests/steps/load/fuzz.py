"""Damaged and hostile inputs: each is read, or refused in a sentence; nothing else ever happens.

Run: python tests/steps/load/fuzz.py [--cases 2500] [--first 0]

Every case is made from a small intact input and a number, so that it can be made again. A worker process reads many in
turn, with 2 GB of memory for its data and 30 seconds for each; what it says of each goes to standard output as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import io
import json
import os
import pickle
import resource
import signal
import struct
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.io
from scipy import sparse

SECONDS, BYTES = 30, 2_000_000_000
GENES = (
    "PDX1",
    "INS",
    "ACTB",
    "GAPDH",
    "COL1A1",
    "RPL3",
    "VIM",
    "MALAT1",
    *(f"COL{n}A1" for n in range(2, 24)),
)


# --- intact inputs ------------------------------------------------------------------------------------------------


def batch(rng: np.random.Generator) -> anndata.AnnData:
    """Forty cells of Poisson counts."""
    letters = np.array(list("ACGT"))
    names = ["".join(letters[rng.integers(0, 4, 16)]) + "-1" for _ in range(40)]
    counts = rng.poisson(1.5, (40, len(GENES))).astype(np.float32)
    obs = pd.DataFrame({"sample": np.repeat(["a", "b"], 20), "donor": "D1"}, index=names)
    return anndata.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=list(GENES)))


def h5ad(adata: anndata.AnnData, folder: Path) -> Path:
    """Counts in X, log-normalised in a layer."""
    adata.layers["log"] = adata.X.log1p()
    adata.write_h5ad(folder / "batch.h5ad")
    return folder / "batch.h5ad"


def h5ad_dense(adata: anndata.AnnData, folder: Path) -> Path:
    """A dense matrix."""
    adata.X = adata.X.toarray()
    adata.write_h5ad(folder / "dense.h5ad", compression="gzip")
    return folder / "dense.h5ad"


def h5ad_by_gene(adata: anndata.AnnData, folder: Path) -> Path:
    """Stored by gene, gzipped."""
    adata.X = adata.X.tocsc()
    adata.write_h5ad(folder / "by_gene.h5ad", compression="gzip")
    return folder / "by_gene.h5ad"


def tenx_h5(adata: anndata.AnnData, folder: Path) -> Path:
    """Version 3."""
    path = folder / "cells.h5"
    with h5py.File(path, "w") as handle:
        group = handle.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group.create_dataset(
                name, data=getattr(adata.X, name).astype(np.int64), compression="gzip"
            )
        group["shape"] = np.array(adata.shape[::-1])
        group["barcodes"] = np.array(adata.obs_names, dtype="S")
        for name, values in {
            "id": GENES,
            "name": GENES,
            "feature_type": ["Gene Expression"] * len(GENES),
        }.items():
            group[f"features/{name}"] = np.array(values, dtype="S")
    return path


def loom(adata: anndata.AnnData, folder: Path) -> Path:
    """One main matrix."""
    path, text = folder / "cells.loom", h5py.string_dtype()
    with h5py.File(path, "w") as handle:
        handle.create_dataset("matrix", data=adata.X.toarray().T, compression="gzip")
        handle.create_dataset("row_attrs/Gene", data=list(GENES), dtype=text)
        handle.create_dataset("col_attrs/CellID", data=list(adata.obs_names), dtype=text)
    return path


def triple(adata: anndata.AnnData, folder: Path, suffix: str = "") -> Path:
    """Matrix, barcodes, features."""
    matrix = io.BytesIO()
    scipy.io.mmwrite(matrix, sparse.coo_matrix(adata.X.T).astype(np.int64))
    texts = {
        "matrix.mtx": matrix.getvalue(),
        "barcodes.tsv": "\n".join(adata.obs_names).encode(),
        "features.tsv": "\n".join(f"{gene}\t{gene}\tGene Expression" for gene in GENES).encode(),
    }
    out = folder / f"triple{suffix.strip('.')}"
    out.mkdir()
    for name, text in texts.items():
        (out / f"{name}{suffix}").write_bytes(gzip.compress(text) if suffix else text)
    return out


def zipped_triple(adata: anndata.AnnData, folder: Path) -> Path:
    """The same, gzipped."""
    return triple(adata, folder, ".gz")


def table(adata: anndata.AnnData, folder: Path) -> Path:
    """Genes x cells."""
    adata.to_df().T.astype(int).to_csv(folder / "table.csv")
    return folder / "table.csv"


def zipped_table(adata: anndata.AnnData, folder: Path) -> Path:
    """Cells x genes, gzipped, by tabs."""
    adata.to_df().astype(int).to_csv(folder / "table.tsv.gz", sep="\t")
    return folder / "table.tsv.gz"


def zarr(adata: anndata.AnnData, folder: Path) -> Path:
    """A store of many small files."""
    adata.write_zarr(folder / "batch.zarr")
    return folder / "batch.zarr"


def sheet(adata: anndata.AnnData, folder: Path) -> Path:
    """A sample sheet beside an intact table."""
    table(adata, folder)
    (folder / "sheet.csv").write_text("sample,path,donor,control\none,table.csv,D1,no\n")
    return folder / "sheet.csv"


def workbook(adata: anndata.AnnData, folder: Path) -> Path:
    """The same as a workbook."""
    table(adata, folder)
    pd.DataFrame({"sample": ["one"], "path": ["table.csv"], "donor": ["D1"]}).to_excel(
        folder / "sheet.xlsx", index=False
    )
    return folder / "sheet.xlsx"


def archived(adata: anndata.AnnData, folder: Path) -> Path:
    """A zip archive of a triple."""
    path = folder / "series.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(zipped_triple(adata, folder).iterdir()):
            archive.write(file, f"GSM1_{file.name}")
    return path


def tarred(adata: anndata.AnnData, folder: Path) -> Path:
    """A gzipped tar archive of two tables, as of a series."""
    path = folder / "series.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(table(adata, folder), "GSM1_counts.csv")
        archive.add(zipped_table(adata, folder), "GSM2_counts.tsv.gz")
    return path


INTACT: tuple[Callable[[anndata.AnnData, Path], Path], ...] = (
    h5ad, h5ad_dense, h5ad_by_gene, tenx_h5, loom, triple, zipped_triple, table, zipped_table, zarr, sheet, workbook, archived, tarred,
)  # fmt: skip


# --- damage -------------------------------------------------------------------------------------------------------


def one_file(path: Path, rng: np.random.Generator) -> Path:
    """The file itself, or one of a folder."""
    files = (
        sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]
    )
    return files[rng.integers(len(files))]


def truncated(path: Path, rng: np.random.Generator) -> None:
    """Cut off somewhere."""
    file = one_file(path, rng)
    file.write_bytes(file.read_bytes()[: rng.integers(0, file.stat().st_size + 1)])


def flipped(path: Path, rng: np.random.Generator) -> None:
    """Some bits turned."""
    file = one_file(path, rng)
    content = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 20)):
        if content:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(bytes(content))


def overwritten(path: Path, rng: np.random.Generator) -> None:
    """A stretch replaced by noise, by zeros or by 255."""
    file = one_file(path, rng)
    content = file.read_bytes()
    start, size = rng.integers(len(content) + 1), rng.integers(1, 400)
    noise = (rng.bytes(size), b"\0" * size, b"\xff" * size)[rng.integers(3)]
    file.write_bytes(content[:start] + noise + content[start + size :])


def replaced_text(path: Path, rng: np.random.Generator) -> None:
    """A field of a text that is no number, no name or no UTF-8; bytes of other files change anyhow."""
    file = one_file(path, rng)
    content = file.read_bytes()
    zipped = content[:2] == b"\x1f\x8b"
    plain = gzip.decompress(content) if zipped else content
    hostile = (
        b"NaN", b"-5", b"inf", b"1e400", b"99999999999999999999", b"\xff\xfe\xfa", b"=cmd|' /C calc'!A0", b"../../../etc/passwd",
        b"a\0b", b"", b"1.5", b'"', b"__import__('os')", "\u202e\u0000".encode(), b"/dev/stdin", b"~/x", b"\t\t\t", b"\r", b"0x10",
    )  # fmt: skip
    parts = plain.replace(b"\n", b"\n ").split(b" ") if rng.integers(2) else plain.split(b",")
    for _ in range(rng.integers(1, 4)):
        parts[rng.integers(len(parts))] = hostile[rng.integers(len(hostile))]
    spoiled = (b" " if b" " in plain else b",").join(parts)
    file.write_bytes(gzip.compress(spoiled) if zipped else spoiled)


def huge(path: Path, rng: np.random.Generator) -> None:
    """Sizes far beyond what the file holds."""
    size = int((2**31, 2**40, 2**62, 10**9, -1)[rng.integers(5)])
    if path.suffix in {".h5ad", ".h5", ".loom"}:
        with h5py.File(path, "r+") as handle:
            _huge_hdf5(handle, size, rng)
    elif path.is_dir() and (matrix := next(path.glob("matrix.mtx*"), None)):
        content = matrix.read_bytes()
        zipped = content[:2] == b"\x1f\x8b"
        lines = (gzip.decompress(content) if zipped else content).split(b"\n")
        place = next(number for number, line in enumerate(lines) if not line.startswith(b"%"))
        numbers = lines[place].split()
        numbers[rng.integers(3)] = str(size).encode()
        lines[place] = b" ".join(numbers)
        spoiled = b"\n".join(lines)
        matrix.write_bytes(gzip.compress(spoiled) if zipped else spoiled)
    elif path.is_dir():
        for file in path.rglob(".zarray"):
            about = json.loads(file.read_text())
            about["shape"] = [abs(size) for _ in about["shape"]]
            file.write_text(json.dumps(about))
    elif path.suffix == ".csv":
        path.write_bytes(
            path.read_bytes().replace(b"\n", b"," * int(rng.integers(1, 200_000)) + b"\n", 1)
        )
    else:
        path.write_bytes(path.read_bytes()[:-8] + struct.pack("<Q", abs(size) % 2**63))


def _huge_hdf5(handle: h5py.File, size: int, rng: np.random.Generator) -> None:
    """Claim a size in attributes or arrays, or make a data set that is large and holds nothing."""
    group = handle["X"] if "X" in handle else handle["matrix"]
    kind = rng.integers(4)
    if isinstance(group, h5py.Dataset) or kind == 0:
        name = group.name
        if isinstance(group, h5py.Dataset):
            shape = (int(min(max(size, 64), 2**31)), 2**20)
            del handle[name]
            handle.create_dataset(
                name, shape=shape, chunks=(64, 64), dtype="f4", compression="gzip"
            )
        else:
            del group["data"]
            group.create_dataset(
                "data",
                shape=(max(1024, abs(size) % 2**50),),
                chunks=(1024,),
                dtype="f4",
                compression="gzip",
            )
    elif kind == 1 and "shape" in group.attrs:
        group.attrs["shape"] = np.array([size, size])
    elif kind == 2:
        pointers = group["indptr"][:].astype(np.int64)
        pointers[rng.integers(len(pointers))] = size
        del group["indptr"]
        group["indptr"] = pointers
    else:
        columns = group["indices"][:].astype(np.int64)
        columns[rng.integers(len(columns))] = size
        del group["indices"]
        group["indices"] = columns


def odd_values(path: Path, rng: np.random.Generator) -> None:
    """Counts that are no counts, where the layout is one of HDF5; bytes elsewhere."""
    if path.suffix not in {".h5ad", ".h5", ".loom"}:
        replaced_text(path, rng)
        return
    with h5py.File(path, "r+") as handle:
        names: list[str] = []
        handle.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) and item.size else None
            )
        )
        name = names[rng.integers(len(names))]
        attributes, shape, dtype = dict(handle[name].attrs), handle[name].shape, handle[name].dtype
        del handle[name]
        kind = rng.integers(4)
        if kind == 0:
            made = np.full(shape, (np.nan, np.inf, -3.0, 0.5, 1e30)[rng.integers(5)])
        elif kind == 1:
            made = np.full(shape, b"\xff\xfe text")
        elif kind == 2:
            made = np.zeros((3, 2, 2))
        else:
            made = np.zeros((0, *shape[1:]), dtype=dtype if dtype.kind in "fiu" else "f4")
        handle[name] = made
        handle[name].attrs.update(
            {key: value for key, value in attributes.items() if rng.integers(2)}
        )


class Bomb:
    """What runs when it is unpickled: it leaves a file that the check finds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(os.environ["SCDIFF_FUZZ_CANARY"]),))


def pickled(path: Path, rng: np.random.Generator) -> None:
    """A pickled object in place of a file, as an array, or inside an HDF5 file."""
    file, payload = one_file(path, rng), pickle.dumps(Bomb())
    kind = rng.integers(3)
    if kind == 0 and path.suffix in {".h5ad", ".loom"}:
        with h5py.File(path, "r+") as handle:
            handle.create_dataset(
                "uns/pickle" if path.suffix == ".h5ad" else "attrs/pickle",
                data=np.frombuffer(payload, dtype=np.uint8),
            )
    elif kind == 1:
        array = io.BytesIO()
        np.save(array, np.array([Bomb()], dtype=object), allow_pickle=True)
        file.write_bytes(array.getvalue())
    else:
        file.write_bytes(gzip.compress(payload) if file.suffix == ".gz" else payload)


def exchanged(path: Path, rng: np.random.Generator) -> None:
    """The content of another kind of file under this name."""
    other = (
        b"",
        b"\x89HDF\r\n\x1a\n",
        b"PK\x05\x06" + b"\0" * 18,
        b"\x1f\x8b\x08",
        b"%%MatrixMarket",
        b"<html>404</html>",
        b"\n" * 1000,
        b"{}",
    )
    one_file(path, rng).write_bytes(other[rng.integers(len(other))])


def removed(path: Path, rng: np.random.Generator) -> None:
    """A file, or a part of an HDF5 file, gone or turned into a link to elsewhere."""
    if path.suffix in {".h5ad", ".h5", ".loom"}:
        with h5py.File(path, "r+") as handle:
            names: list[str] = []
            handle.visit(names.append)
            name = names[rng.integers(len(names))]
            del handle[name]
            if rng.integers(2):
                handle[name] = (
                    h5py.ExternalLink("/etc/passwd", "/")
                    if rng.integers(2)
                    else h5py.SoftLink("/" + name)
                )
        return
    file = one_file(path, rng)
    file.unlink()
    if rng.integers(2):
        file.symlink_to(("/dev/zero", "/dev/stdin", "/etc/passwd", file.name)[rng.integers(1, 4)])


def outside(path: Path, rng: np.random.Generator) -> None:
    """A link, an entry or an entity that leads to a file outside of the input."""
    bait = bait_in(Path(os.environ["SCDIFF_FUZZ_OUTSIDE"]))
    if path.suffix in {".h5ad", ".h5", ".loom"}:
        _outside_of_hdf5(path, bait, rng)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "a") as archive:
            link = zipfile.ZipInfo("GSM2_counts.csv")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            name = f"../{bait.parent.name}/{bait.name}"
            archive.writestr(*((link, str(bait)) if rng.integers(2) else (name, "a,b\n")))
    elif path.name.endswith(".tar.gz"):
        with tarfile.open(path, "w:gz") as archive:
            link = tarfile.TarInfo("GSM1_counts.csv")
            link.type = (tarfile.SYMTYPE, tarfile.LNKTYPE)[rng.integers(2)]
            link.linkname = (str(bait), f"../{bait.parent.name}/{bait.name}")[rng.integers(2)]
            archive.addfile(link)
    elif path.suffix == ".xlsx":
        _outside_of_workbook(path, bait)
    else:
        replaced_text(path, rng)


def bait_in(folder: Path) -> Path:
    """A table outside of every input, beside an h5ad and the raw values of a data set; reading any of them is a fault."""
    bait = folder / "bait.csv"
    if not bait.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = batch(np.random.default_rng(0))
        made.to_df().T.astype(int).to_csv(bait)
        made.write_h5ad(folder / "bait.h5ad")
        (folder / "bait.raw").write_bytes(bytes(1 << 20))
    return bait


def _outside_of_hdf5(path: Path, bait: Path, rng: np.random.Generator) -> None:
    """Replace a data set by an external link, a virtual data set or one whose values lie in another file."""
    with h5py.File(path, "r+") as handle:
        names: list[str] = []
        handle.visititems(
            lambda name, item: (
                names.append(name)
                if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "fiu"
                else None
            )
        )
        name = names[rng.integers(len(names))]
        shape, dtype = handle[name].shape, handle[name].dtype
        del handle[name]
        kind = rng.integers(3)
        if kind == 0:
            handle[name] = h5py.ExternalLink(str(bait.with_suffix(".h5ad")), "/X/data")
        elif kind == 1:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(bait.with_suffix(".h5ad")), name, shape, dtype)
            handle.create_virtual_dataset(name, layout)
        else:
            size = int(np.prod(shape)) * dtype.itemsize
            raw = [(str(bait.with_suffix(".raw")), 0, size)]
            handle.create_dataset(name, shape, dtype, external=raw)


def _outside_of_workbook(path: Path, bait: Path) -> None:
    """Give a part of the workbook an entity that is another file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    entity = f'<!DOCTYPE x [<!ENTITY x SYSTEM "file://{bait}">]>'.encode()
    for name, content in parts.items():
        if name.startswith("xl/") and name.endswith(".xml"):
            head, mark, rest = content.rpartition(b"?>")
            parts[name] = head + mark + entity + rest.replace(b"<t>", b"<t>&x;", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


DAMAGE: tuple[Callable[[Path, np.random.Generator], None], ...] = (
    truncated, flipped, overwritten, replaced_text, huge, odd_values, pickled, exchanged, removed, outside,
)  # fmt: skip


def make(case: int, folder: Path) -> tuple[str, Path]:
    """Write one case; return what it is and its path."""
    rng = np.random.default_rng(case)
    intact, damage = INTACT[case % len(INTACT)], DAMAGE[(case // len(INTACT)) % len(DAMAGE)]
    path = intact(batch(rng), folder)
    damage(path, rng)
    return f"{intact.__name__} {damage.__name__}", path


# --- reading ------------------------------------------------------------------------------------------------------


class TookTooLongError(Exception):
    """Thirty seconds were over."""


def _late(*_: object) -> None:
    raise TookTooLongError


def read(path: Path) -> str:
    """Read as ``scdiff check`` and as a run do; return ``read``, the sentence that refuses, or what else happened."""
    from scdiff.errors import ScdiffError
    from scdiff.steps.load.step import load, look_at, plan_inputs

    given = {"samples": path} if path.name.startswith("sheet") else {"inputs": path}
    try:
        look_at(plan_inputs(**({"inputs": ()} | given)))
        load(**given)
    except ScdiffError as refusal:
        return f"refused: {refusal}"
    except TookTooLongError:
        return "HANG"
    except BaseException as error:  # noqa: BLE001 whatever comes is the finding
        return f"TRACEBACK {type(error).__name__}: {str(error)[:300]}"
    return "read"


def peak() -> int:
    """Most memory that this process has held, bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(
        int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")
    )


class Watch:
    """Whether any process opened a file of a folder, by the notices of the kernel."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.notices = libc.inotify_init1(os.O_NONBLOCK)
        opened_or_read = 0x20 | 0x01
        libc.inotify_add_watch(self.notices, os.fsencode(folder), opened_or_read)

    def saw(self) -> bool:
        """Whether there were notices since the last call."""
        try:
            return bool(os.read(self.notices, 1 << 16))
        except BlockingIOError:
            return False


def main() -> None:
    """Read the cases in turn; one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--cases", type=int, default=2_500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--step", type=int, default=1, help="take every so manieth")
    parser.add_argument("--folder", type=Path, required=True, help="empty folder to work in")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _late)
    canary = given.folder / "canary"
    os.environ["SCDIFF_FUZZ_CANARY"] = str(canary)
    os.environ["SCDIFF_FUZZ_OUTSIDE"] = str(given.folder / "outside")
    watch = Watch(bait_in(given.folder / "outside").parent)
    sys.stdin.close()
    for number, case in enumerate(
        range(given.first, given.first + given.cases * given.step, given.step)
    ):
        folder = given.folder / f"case{case}"
        folder.mkdir()
        what, path = make(case, folder)
        before = sorted(folder.rglob("*"))
        if number == 0:
            read(path)  # imports are no part of the first case
            resource.setrlimit(resource.RLIMIT_DATA, (peak() + BYTES, resource.RLIM_INFINITY))
        watch.saw()  # what making the case opened
        begun = time.monotonic()
        signal.alarm(SECONDS)
        said = read(path)
        signal.alarm(0)
        about = {
            "case": case,
            "what": what,
            "seconds": round(time.monotonic() - begun, 2),
            "peak": peak(),
            "said": said,
            "outside": watch.saw(),
        }
        wrote = sorted(folder.rglob("*")) != before
        sys.stdout.write(json.dumps(about | {"wrote": wrote, "unpickled": canary.exists()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
