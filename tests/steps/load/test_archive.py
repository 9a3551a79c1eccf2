"""Archives: unpacked with bounds into a folder that does not stay, recorded as the file that was given."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scdiff.errors import ConfigError, InputError
from scdiff.run.pipeline import _list_files
from scdiff.steps.load import stream
from scdiff.steps.load.plan import archive as archives
from scdiff.steps.load.step import load, plan_inputs


@pytest.fixture
def room(tmp_path: Path, monkeypatch) -> Path:
    """Folder of temporary files, empty unless something is left behind."""
    folder = tmp_path / "room"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def packed(tmp_path: Path, batch, write_mtx) -> Path:
    """GSE1_RAW.tar with two triples."""
    for seed, prefix in enumerate(("GSM1_a_", "GSM2_b_")):
        folder = write_mtx(batch(seed=seed), "given", prefix)
    return pack(
        tmp_path / "GSE1_RAW.tar",
        {file.name: file.read_bytes() for file in sorted(folder.iterdir())},
    )


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, data in files.items():
                out.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def table_of(adata) -> bytes:
    return adata.to_df().T.astype(int).to_csv().encode()


# ---------------------------------------------------------------- what is recorded


def test_the_record_names_the_archive_and_its_hash(packed: Path) -> None:
    files = load(packed).uns["scdiff"]["input"]["files"]
    assert list(files.index) == ["GSM1_a", "GSM2_b"]
    assert set(files["path"]) == {str(packed)}
    assert set(files["sha256"]) == {hashlib.sha256(packed.read_bytes()).hexdigest()}
    assert set(files["layout"]) == {"10x mtx"}


def test_planning_twice_gives_the_same_sources_without_a_temporary_path(
    packed: Path, room: Path
) -> None:
    first, second = plan_inputs(packed), plan_inputs(packed)
    assert first == second
    assert str(room) not in repr(first)
    assert first[0].files == (packed,)
    assert first[0].members == (
        "GSM1_a_matrix.mtx.gz",
        "GSM1_a_barcodes.tsv.gz",
        "GSM1_a_features.tsv.gz",
    )
    assert _list_files(SimpleNamespace(sheet=None), first) == [packed]


def test_a_sheet_names_the_archive_for_each_of_its_samples(packed: Path) -> None:
    sheet = packed.with_name("sheet.csv")
    sheet.write_text(
        "sample,path,donor,control\nGSM2_b,GSE1_RAW.tar,D2,yes\nGSM1_a,GSE1_RAW.tar,D1,no\n"
    )
    adata = load(samples=sheet)
    assert {
        str(name): set(part["donor"]) for name, part in adata.obs.groupby("sample", observed=True)
    } == {
        "GSM1_a": {"D1"},
        "GSM2_b": {"D2"},
    }
    assert set(adata.obs["sample"][adata.obs["control"]]) == {"GSM2_b"}


def test_a_sample_is_named_by_the_archive_where_nothing_in_it_does(tmp_path: Path, batch) -> None:
    pack(tmp_path / "donor7.tar.gz", {"filtered/counts.csv": table_of(batch())})
    assert [source.sample for source in plan_inputs(tmp_path / "donor7.tar.gz")] == ["donor7"]
    (tmp_path / "donor8").mkdir()
    inner = pack(
        tmp_path / "donor8/filtered_feature_bc_matrix.zip", {"matrix.csv": table_of(batch())}
    )
    assert [source.sample for source in plan_inputs(inner)] == ["donor8"]


def test_an_archive_beside_an_unfiltered_one_gives_the_soup(tmp_path: Path, batch) -> None:
    for name in ("filtered", "raw"):
        pack(tmp_path / f"a_{name}.tar", {"a.csv": table_of(batch())})
    (source,) = plan_inputs(tmp_path / "a_filtered.tar")
    assert (source.raw.path, source.raw.members) == (tmp_path / "a_raw.tar", ("a.csv",))
    assert any(
        "empty droplets" in note
        for note in load(tmp_path / "a_filtered.tar").uns["scdiff"]["input"]["notes"]
    )


def test_check_lists_the_samples_of_an_archive(packed: Path, capsys) -> None:
    from scdiff.cli import main

    assert main(["check", str(packed)]) == 0
    told = capsys.readouterr().out
    assert [line.split()[:4] for line in told.splitlines()[1:3]] == [
        ["GSM1_a", "10x", "mtx", "batch"],
        ["GSM2_b", "10x", "mtx", "batch"],
    ]


# ---------------------------------------------------------------- what is left behind


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_nothing_stays_behind(tmp_path: Path, batch, room: Path, name: str) -> None:
    load(pack(tmp_path / name, {"a.csv": table_of(batch()), "b.csv": table_of(batch(seed=2))}))
    assert list(room.iterdir()) == []


def test_nothing_stays_behind_after_an_error_which_names_the_archive(
    tmp_path: Path, batch, room: Path
) -> None:
    logged = np.log1p(batch().to_df()).T.to_csv().encode()
    path = pack(tmp_path / "a.tar", {"x/GSM1.csv": logged, "x/GSM2.csv": table_of(batch())})
    with pytest.raises(
        InputError, match=r"a\.tar/x/GSM1\.csv: no integer counts: the matrix looks log-normalised"
    ) as caught:
        load(path)
    assert str(room) not in str(caught.value)
    assert list(room.iterdir()) == []


def test_planning_takes_of_texts_only_their_beginning(
    tmp_path: Path, room: Path, monkeypatch
) -> None:
    text = b"gene,A,B\n" + b"INS,1,2\n" * 300_000
    path = pack(tmp_path / "a.tar", {"a.csv": text, "notes/b.csv": b"x"})
    written = []
    monkeypatch.setattr(
        archives,
        "_write",
        lambda _archive, member, _path, size: written.append((member.name, size)),
    )
    with archives.unpack_archive(path, heads=True):
        pass
    assert written == [("a.csv", 1 << 20), ("notes/b.csv", 1)]


def test_loading_unpacks_only_what_it_reads(packed: Path, monkeypatch) -> None:
    sources, written, write = plan_inputs(packed)[:1], [], archives._write
    monkeypatch.setattr(
        archives,
        "_write",
        lambda archive, member, *rest: (written.append(member.name), write(archive, member, *rest)),
    )
    with archives.open_archives(sources) as at:
        files = at(sources[0]).files
        assert all(file.is_file() for file in files)
    assert written == sorted(sources[0].members)
    assert not any(file.exists() for file in files)


def test_archives_do_not_stay_on_disk(packed: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"GSE1_RAW\.tar: the engine dask does not read archives\. Unpack the archive, or use the engine memory",
    ):
        load(packed, engine="dask")


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_an_archive_that_swells_is_refused_before_it_is_written(
    tmp_path: Path, room: Path, monkeypatch, name: str
) -> None:
    path = pack(tmp_path / name, {"a.h5": bytes(1 << 22)})
    monkeypatch.setattr(stream, "ALWAYS_BYTES", 1 << 20)
    with pytest.raises(
        InputError, match=rf"{name}: the archive unpacks to more than 200 times its size"
    ):
        load(path)
    assert list(room.iterdir()) == []


def test_a_member_that_is_passed_over_may_not_swell_either(
    tmp_path: Path, batch, monkeypatch
) -> None:
    path = pack(tmp_path / "a.tar.gz", {"big.bin": bytes(1 << 22), "a.csv": table_of(batch())})
    monkeypatch.setattr(stream, "ALWAYS_BYTES", 1 << 20)
    with pytest.raises(
        InputError, match=r"a\.tar\.gz: the archive unpacks to more than 200 times its size"
    ):
        load(path)


def test_a_gzipped_member_that_swells_is_refused(tmp_path: Path, batch, monkeypatch) -> None:
    text = table_of(batch()) + b"INS2" + b",0" * 12 + b"\n" + b"\n" * (1 << 22)
    path = pack(tmp_path / "a.tar", {"a.csv.gz": gzip.compress(text)})
    monkeypatch.setattr(stream, "ALWAYS_BYTES", 1 << 20)
    with pytest.raises(
        InputError, match=r"a\.tar/a\.csv\.gz: the file unpacks to more than 200 times its size"
    ):
        load(path)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"gene,A,B\n" + b"0," * (1 << 21)))
    monkeypatch.setattr(stream, "LONGEST_LINE", 1 << 20)
    with pytest.raises(InputError, match=r"a\.csv\.gz: a line is longer than 1,048,576 bytes"):
        load(tmp_path / "a.csv.gz")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch) -> None:
    path = pack(tmp_path / "a.tar", {f"{at}.csv": b"x" for at in range(20)})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    with pytest.raises(InputError, match=r"a\.tar: the archive holds more than 10 files"):
        load(path)


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path, batch, monkeypatch) -> None:
    path = pack(tmp_path / "a.tar", {"a.csv": table_of(batch())})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(
        InputError,
        match=r"a\.csv unpacks to .* GiB, but only .* GiB are free for temporary files\. Set TMPDIR",
    ):
        load(path)


def test_a_zip_that_states_a_smaller_size_is_refused(tmp_path: Path, batch) -> None:
    data = table_of(batch())
    path = pack(tmp_path / "a.zip", {"a.csv": data})
    path.write_bytes(
        path.read_bytes().replace(
            len(data).to_bytes(4, "little"), (len(data) - 9).to_bytes(4, "little")
        )
    )
    with pytest.raises(
        InputError,
        match=r"a\.zip: (a\.csv holds more than|this cannot be read as an archive|the file is truncated)",
    ):
        load(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path, batch) -> None:
    path = pack(tmp_path / "a.zip", {"a.csv": table_of(batch())})
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(
        InputError, match=r"a\.zip: a\.csv is encrypted, which scdiff does not unpack"
    ):
        load(path)


def test_a_tar_cut_off_between_two_members_is_refused(packed: Path) -> None:
    with tarfile.open(packed) as given:
        place = given.getmembers()[3].offset
    packed.write_bytes(packed.read_bytes()[:place])
    with pytest.raises(
        InputError,
        match=r"GSE1_RAW\.tar: the archive has no proper end\. It is truncated or damaged",
    ):
        load(packed)


def test_a_tar_with_a_broken_heading_is_refused(packed: Path) -> None:
    with tarfile.open(packed) as given:
        place = given.getmembers()[3].offset
    data = bytearray(packed.read_bytes())
    data[place] ^= 1
    packed.write_bytes(bytes(data))
    with pytest.raises(
        InputError,
        match=r"GSE1_RAW\.tar: the archive has no proper end\. It is truncated or damaged",
    ):
        load(packed)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_a_truncated_archive_is_refused(
    tmp_path: Path, batch, room: Path, name: str, share: float
) -> None:
    path = pack(
        tmp_path / name, {f"{at}.csv": table_of(batch(n_cells=400, seed=at)) for at in range(3)}
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        InputError,
        match=rf"{name}(/\d\.csv)?: (the file is truncated|this cannot be read as|the archive has no proper end)",
    ):
        load(path)
    assert list(room.iterdir()) == []


@pytest.mark.parametrize(
    "size", [b"80000000000", b"-0000000010", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0"]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_sizes_that_cannot_be_end_in_a_sentence(tmp_path: Path, size: bytes, kind: bytes) -> None:
    header = bytearray(tarfile.TarInfo("a.csv").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(10_240))
    with pytest.raises(InputError, match=r"a\.tar: "):
        load(tmp_path / "a.tar")


def test_the_one_archive_of_a_folder_is_read_and_never_passed_over(batch, tmp_path: Path) -> None:
    table = batch().to_df().T.astype(int).to_csv().encode()
    with zipfile.ZipFile(tmp_path / "GSE1_RAW.zip", "w") as archive:
        archive.writestr("GSM1_counts.csv", table)
    (tmp_path / "filelist.txt").write_text("Archive GSE1_RAW.zip\nFile GSM1_counts.csv\n")
    assert [source.members for source in plan_inputs(tmp_path)] == [("GSM1_counts.csv",)]
    (tmp_path / "GSM2_counts.csv").write_bytes(table)
    with pytest.raises(
        InputError,
        match=r"archives next to other inputs \(GSE1_RAW.zip\)\. Give the path of the one to load",
    ):
        plan_inputs(tmp_path)
