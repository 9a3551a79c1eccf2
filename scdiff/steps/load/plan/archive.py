"""Archives from repositories: tar, tar.gz and zip, unpacked with limits into a temporary folder."""

from __future__ import annotations

import gzip
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from scdiff.errors import InputError
from scdiff.steps.load.source import HDF5, Source
from scdiff.steps.load.stream import MOST_RATIO, most_bytes
from scdiff.steps.load.table import reading

__all__ = ["ARCHIVE", "open_archives", "unpack_archive"]

ARCHIVE = re.compile(r"\.(tar|tar\.gz|tgz|zip|(h5ad|h5mu|h5|hdf5|loom)\.gz)$", re.IGNORECASE)
"""Suffixes of archives."""

_GZIPPED = re.compile(r"\.(h5ad|h5mu|h5|hdf5|loom)\.gz$", re.IGNORECASE)
"""Suffixes of single packed files: such a file is an archive of one; within an archive it is
unpacked too."""

_OF_STORE = re.compile(r"\.zarr/|(^|/)(\.z\w+|zarr\.json|\d+(\.\d+)*)$", re.IGNORECASE)
"""Paths of the files of a zarr store."""

_NESTED = re.compile(r"\.(tar|tgz|zip|rar|7z|bz2|xz|tar\.\w+)$", re.IGNORECASE)
"""Suffixes of archives within an archive."""

MOST_MEMBERS = 10_000
"""Files in an archive. Chosen, not tuned."""

MOST_BYTES = 200 << 30
"""Bytes that an archive may unpack to (200 GiB). Chosen, not tuned."""

_HEAD = 1 << 20
"""Bytes of a text that are unpacked for planning (1 MiB). Chosen, not tuned."""

_RESERVE = 64 << 20
"""Bytes of disk that stay free (64 MiB). Chosen, not tuned."""

_BLOCK = 1 << 20
"""Bytes written at a time (1 MiB). Chosen, not tuned."""

_LARGEST_READ = 1 << 26
"""Bytes that one read may ask for (64 MiB): more than any header has. Chosen, not tuned."""

_UNPACK = "Unpack it, and give the file or folder to load."
_HIDDEN = re.compile(r"^(__MACOSX|\.(?!z(group|attrs|array|metadata)$).*)$")
"""Names of files that are skipped: hidden ones, except the metadata of zarr."""


@dataclass(frozen=True)
class _Member:
    """One file of an archive: its path, its stated size (None if packed), and how to open it."""

    name: str
    size: int | None
    open: Callable[[], IO[bytes]]


@contextmanager
def open_archives(sources: Sequence[Source]) -> Iterator[Callable[[Source], Source]]:
    """Unpack what the sources need from their archives while the block runs.

    Yields a function that replaces the archive of a source by the unpacked files.

    Raises
    ------
    InputError
        As :func:`unpack_archive`.
    """
    wanted: dict[Path, set[str]] = {}
    for source in [*sources, *(source.raw for source in sources)]:
        if source is not None and source.members:
            wanted.setdefault(source.files[0], set()).update(source.members)
    with ExitStack() as stack:
        rooms = {
            archive: stack.enter_context(unpack_archive(archive, names))
            for archive, names in wanted.items()
        }
        yield lambda source: _locate(source, rooms[source.files[0]]) if source.members else source


def _locate(source: Source, room: Path) -> Source:
    """Point a source to its unpacked files."""
    files = tuple(room / member for member in source.members)
    return replace(source, path=files[0], files=files)


@contextmanager
def unpack_archive(
    archive: Path, wanted: Collection[str] = (), *, heads: bool = False
) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is always deleted after the block.

    Only files are written, below the folder, each once. Errors in the block name the archive
    instead of the folder.

    Parameters
    ----------
    archive
        A tar, tar.gz, tgz or zip file.
    wanted
        Members to unpack, or folders of them; empty means all.
    heads
        Whether to unpack only the beginning of texts, as planning needs it.

    Raises
    ------
    InputError
        If the archive is damaged; if it holds a link, a device, a path that leads out, another
        archive or too many files; or if it unpacks to more than the limits and the disk allow.
    """
    with tempfile.TemporaryDirectory(prefix="scdiff-") as name:
        folder = Path(name)
        try:
            _unpack(archive, folder, wanted, heads=heads)
            yield folder
        except InputError as error:
            raise InputError(str(error).replace(name, str(archive))) from error.__cause__


def _unpack(archive: Path, folder: Path, wanted: Collection[str], *, heads: bool) -> None:
    """Write the members of an archive below a folder."""
    left, seen = min(most_bytes(archive), MOST_BYTES), set[str]()
    with reading(archive, "an archive"), ExitStack() as stack:
        for member in _list_members(archive, stack):
            seen.add(member.name)
            if len(seen) > MOST_MEMBERS:
                raise InputError(
                    f"{archive}: the archive holds more than {MOST_MEMBERS:,} files. {_UNPACK}"
                )
            if not _is_wanted(member.name, wanted):
                continue
            size = member.size
            if size is None:
                left -= _write_packed(archive, member, folder / member.name, left)
                continue
            size = min(size, _HEAD) if heads and not _is_needed_whole(member.name) else size
            left -= size
            _refuse_too_much(archive, member, size, left, folder)
            _write(archive, member, folder / member.name, size)


def _is_wanted(name: str, wanted: Collection[str]) -> bool:
    """Check whether a member, or a folder above it, is wanted."""
    return (
        not wanted
        or name in wanted
        or any(str(parent) in wanted for parent in PurePosixPath(name).parents)
    )


def _is_needed_whole(name: str) -> bool:
    """Check whether planning reads the whole file: HDF5 files, stores, tables about cells."""
    return (
        name.casefold().endswith(HDF5)
        or bool(_OF_STORE.search(name))
        or "metadata" in name.casefold()
    )


def _refuse_too_much(archive: Path, member: _Member, size: int, left: int, folder: Path) -> None:
    """Raise an error if a member exceeds the limits or the free disk space."""
    if left < 0:
        raise InputError(
            f"{archive}: the archive unpacks to more than {MOST_RATIO} times its size, or "
            f"{MOST_BYTES >> 30} GiB. {_UNPACK}"
        )
    free = shutil.disk_usage(folder).free
    if size + _RESERVE > free:
        raise InputError(
            f"{archive}: {member.name} unpacks to {size / 2**30:.2f} GiB, but only "
            f"{free / 2**30:.2f} GiB are free for temporary files. "
            "Set TMPDIR to a larger place, or unpack the archive."
        )


def _write(archive: Path, member: _Member, path: Path, size: int) -> None:
    """Write the first ``size`` bytes of a member.

    Raises
    ------
    InputError
        If it holds more than the archive states.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as given, path.open("xb") as written:
        for start in range(0, size, _BLOCK):
            block = given.read(min(_BLOCK, size - start))
            if not block:
                raise EOFError
            written.write(block)
        if size == member.size and given.read(1):
            raise InputError(
                f"{archive}: {member.name} holds more than the {size:,} bytes that the archive "
                "states. The archive is damaged; copy or download it again."
            )


def _write_packed(archive: Path, member: _Member, path: Path, left: int) -> int:
    """Write a gzipped member; return its number of bytes, which its header does not state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with member.open() as packed, gzip.open(packed) as given, path.open("xb") as written:
        while block := given.read(_BLOCK):
            size += len(block)
            if size % (64 * _BLOCK) < _BLOCK:
                _refuse_too_much(archive, member, _BLOCK, left - size, path.parent)
            written.write(block)
    _refuse_too_much(archive, member, 0, left - size, path.parent)
    return size


def _list_members(archive: Path, stack: ExitStack) -> Iterator[_Member]:
    """Yield the files of an archive without hidden ones, each path checked.

    Raises
    ------
    InputError
        If it holds something other than files and folders, an archive, or a path twice.
    """
    seen: set[str] = set()
    for name, size, is_folder, kind, open_it in _list_entries(archive, stack):
        path = _check_path(archive, name)
        if kind:
            raise InputError(
                f"{archive}: {path} is {kind}, which scdiff does not unpack. {_UNPACK}"
            )
        if is_folder or any(map(_HIDDEN.match, path.parts)):
            continue
        if _NESTED.search(path.name):
            raise InputError(
                f"{archive}: the archive holds another one ({path}). "
                "Unpack it, and give the folder."
            )
        if str(path) in seen:
            raise InputError(f"{archive}: {path} occurs twice in the archive. {_UNPACK}")
        seen.add(str(path))
        packed = bool(_GZIPPED.search(path.name))
        yield _Member(
            str(path.with_suffix("") if packed else path), None if packed else size, open_it
        )


def _list_entries(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of an archive, or of a single packed file."""
    if _GZIPPED.search(archive.name):
        return iter([(archive.name, archive.stat().st_size, False, "", lambda: archive.open("rb"))])
    return (_list_zip if archive.suffix.lower() == ".zip" else _list_tar)(archive, stack)


def _check_path(archive: Path, name: str) -> PurePosixPath:
    """Return the path of a member.

    Raises
    ------
    InputError
        If it leads out of the folder that it is unpacked into.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if (
        path.is_absolute()
        or ".." in path.parts
        or re.match(r"^[A-Za-z]:", name)
        or not name.isprintable()
    ):
        raise InputError(
            f"{archive}: the path {name!r} leads out of the archive. "
            "Do not unpack it, and ask where it comes from."
        )
    return path


_Entry = tuple[str, int, bool, str, Callable[[], IO[bytes]]]
"""Name, bytes, whether it is a folder, what else it is if neither file nor folder, a function to
open it."""


def _list_zip(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of a zip file."""
    packed = stack.enter_context(zipfile.ZipFile(archive))
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        other = "a link" if kind == stat.S_IFLNK else "a device"
        if kind in (0, stat.S_IFREG, stat.S_IFDIR):
            other = ""
        if info.flag_bits & 1:
            other = "encrypted"
        yield (
            info.filename,
            info.file_size,
            info.is_dir(),
            other,
            partial(packed.open, info),
        )


def _list_tar(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of a tar file, gzipped or not, in their order."""
    zipped = archive.suffix.lower() in (".gz", ".tgz")
    opened_by: Callable[[Path], Any] = gzip.open if zipped else partial(Path.open, mode="rb")
    handle = stack.enter_context(opened_by(archive))
    steady = _LimitedReader(handle, archive)
    packed = stack.enter_context(tarfile.open(fileobj=steady, mode="r:"))  # type: ignore[call-overload]  # noqa: SIM115
    for info in packed:
        other = "a link" if info.issym() or info.islnk() else "not a plain file"
        if (info.isreg() and not info.issparse()) or info.isdir():
            other = ""
        if info.size < 0:
            raise InputError(
                f"{archive}: {info.name!r} has a size below zero. "
                "The archive is damaged; copy or download it again."
            )
        yield info.name, info.size, info.isdir(), other, lambda info=info: packed.extractfile(info)  # type: ignore[misc]
    # tarfile treats a truncated or broken header as the end
    if steady.last != bytes(tarfile.BLOCKSIZE):
        raise InputError(
            f"{archive}: the archive has no proper end. It is truncated or damaged; "
            "copy or download it again."
        )


class _LimitedReader:
    """Bytes of a tar file, with limits on the size of one read and on the position."""

    def __init__(self, handle: Any, path: Path) -> None:
        self._handle, self._path, self._most = handle, path, min(most_bytes(path), MOST_BYTES)
        self.last = b""

    def read(self, size: int) -> bytes:
        """Read some bytes.

        Raises
        ------
        InputError
            If the read is larger than a block or a header.
        """
        if not 0 <= size <= _LARGEST_READ:
            raise InputError(
                f"{self._path}: the archive states a header of {size:,} bytes. "
                "It is damaged; copy or download it again."
            )
        self.last = bytes(self._handle.read(size))
        return self.last

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a position.

        Raises
        ------
        InputError
            If it is beyond the size that the archive may unpack to.
        """
        if position > self._most:
            raise InputError(
                f"{self._path}: the archive unpacks to more than {MOST_RATIO} times its "
                f"size. {_UNPACK}"
            )
        return int(self._handle.seek(position, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._handle.tell())
