"""Archives as repositories hand them out: tar, tar.gz and zip, unpacked with bounds into a folder that does not stay."""

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
_GZIPPED = re.compile(r"\.(h5ad|h5mu|h5|hdf5|loom)\.gz$", re.IGNORECASE)
"""Single files that are packed: an archive of one, and within an archive unpacked at once."""

_OF_STORE = re.compile(r"\.zarr/|(^|/)(\.z\w+|zarr\.json|\d+(\.\d+)*)$", re.IGNORECASE)
_NESTED = re.compile(r"\.(tar|tgz|zip|rar|7z|bz2|xz|tar\.\w+)$", re.IGNORECASE)
MOST_MEMBERS = 10_000
MOST_BYTES = 200 << 30
_HEAD = 1 << 20
"""Bytes of a text that are unpacked to plan with."""

_RESERVE = 64 << 20
_BLOCK = 1 << 20
_LARGEST_READ = 1 << 26
_HIDDEN = re.compile(r"^(__MACOSX|\.(?!z(group|attrs|array|metadata)$).*)$")


@dataclass(frozen=True)
class _Member:
    """One file of an archive: its path there, its size as stated (None for a packed one), and how it is opened."""

    name: str
    size: int | None
    open: Callable[[], IO[bytes]]


@contextmanager
def open_archives(sources: Sequence[Source]) -> Iterator[Callable[[Source], Source]]:
    """Unpack what the sources need of their archives while the block runs.

    Yields a function that gives each source the unpacked files in the place of the archive.

    Raises
    ------
    InputError
        As :func:`unpack_archive`.
    """
    wanted: dict[Path, set[str]] = {}
    for source in (one for pair in ((source, source.raw) for source in sources) for one in pair if one is not None and one.members):
        wanted.setdefault(source.files[0], set()).update(source.members)
    with ExitStack() as stack:
        rooms = {archive: stack.enter_context(unpack_archive(archive, names)) for archive, names in wanted.items()}
        yield lambda source: _there(source, rooms[source.files[0]]) if source.members else source


def _there(source: Source, room: Path) -> Source:
    """Name the unpacked files of a source."""
    files = tuple(room / member for member in source.members)
    return replace(source, path=files[0], files=files)


@contextmanager
def unpack_archive(archive: Path, wanted: Collection[str] = (), *, heads: bool = False) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is gone after the block, whatever happens in it.

    Only files are written, below the folder, each once. Errors of the block name the archive instead of the folder.

    Parameters
    ----------
    archive
        A tar, tar.gz, tgz or zip file.
    wanted
        Members to unpack, or folders of them; all where empty.
    heads
        Whether to unpack of texts only what planning looks at.

    Raises
    ------
    InputError
        If it is damaged, holds a link, a device, a path that leads out, an archive, too many files, or more
        than the limits and the disk allow.
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
        for member in _members(archive, stack):
            seen.add(member.name)
            if len(seen) > MOST_MEMBERS:
                raise InputError(
                    f"{archive}: the archive holds more than {MOST_MEMBERS:,} files: unpack it, and give what is to be loaded."
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
    return not wanted or name in wanted or any(str(parent) in wanted for parent in PurePosixPath(name).parents)


def _is_needed_whole(name: str) -> bool:
    """Tell whether planning reads the file: HDF5 files and stores, tables about cells."""
    return name.casefold().endswith(HDF5) or bool(_OF_STORE.search(name)) or "metadata" in name.casefold()


def _refuse_too_much(archive: Path, member: _Member, size: int, left: int, folder: Path) -> None:
    """Refuse a member that passes the limits, or has no room on the disk."""
    if left < 0:
        raise InputError(
            f"{archive}: the archive unpacks to more than {MOST_RATIO} times its size, or {MOST_BYTES >> 30} GiB: "
            "unpack it, and give what is to be loaded."
        )
    free = shutil.disk_usage(folder).free
    if size + _RESERVE > free:
        raise InputError(
            f"{archive}: {member.name} unpacks to {size / 2**30:.2f} GiB, but only {free / 2**30:.2f} GiB are free for temporary files: "
            "set TMPDIR to a larger place, or unpack the archive."
        )


def _write(archive: Path, member: _Member, path: Path, size: int) -> None:
    """Write the first ``size`` bytes of a member; it must not hold more than it says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as given, path.open("xb") as written:
        for start in range(0, size, _BLOCK):
            block = given.read(min(_BLOCK, size - start))
            if not block:
                raise EOFError
            written.write(block)
        if size == member.size and given.read(1):
            raise InputError(f"{archive}: {member.name} holds more than the {size:,} bytes that the archive states: it is damaged.")


def _write_packed(archive: Path, member: _Member, path: Path, left: int) -> int:
    """Write a member that is gzipped by itself; return its bytes, which its heading does not tell."""
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


def _members(archive: Path, stack: ExitStack) -> Iterator[_Member]:
    """Yield the files of an archive, each path checked; hidden ones are left out."""
    seen: set[str] = set()
    for name, size, is_folder, kind, open_it in _entries(archive, stack):
        path = _checked(archive, name)
        if kind:
            raise InputError(f"{archive}: {path} is {kind}, which is never unpacked: unpack the archive, and give what is to be loaded.")
        if is_folder or any(map(_HIDDEN.match, path.parts)):
            continue
        if _NESTED.search(path.name):
            raise InputError(f"{archive}: the archive holds another one ({path}): unpack it, and give the folder.")
        if str(path) in seen:
            raise InputError(f"{archive}: {path} stands twice in the archive: unpack it, and give what is to be loaded.")
        seen.add(str(path))
        packed = bool(_GZIPPED.search(path.name))
        yield _Member(str(path.with_suffix("") if packed else path), None if packed else size, open_it)


def _entries(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of an archive, or of a single packed file."""
    if _GZIPPED.search(archive.name):
        return iter([(archive.name, archive.stat().st_size, False, "", lambda: archive.open("rb"))])
    return (_zip if archive.suffix.lower() == ".zip" else _tar)(archive, stack)


def _checked(archive: Path, name: str) -> PurePosixPath:
    """Return the path of a member.

    Raises
    ------
    InputError
        If it leads out of the folder it is unpacked into.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", name) or not name.isprintable():
        raise InputError(f"{archive}: the path {name!r} leads out of the archive: do not unpack it, and ask where it comes from.")
    return path


_Entry = tuple[str, int, bool, str, Callable[[], IO[bytes]]]
"""Name, bytes, whether it is a folder, what it is besides a file or folder, how it is opened."""


def _zip(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of a zip file."""
    packed = stack.enter_context(zipfile.ZipFile(archive))
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        other = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link" if kind == stat.S_IFLNK else "a device"
        if info.flag_bits & 1:
            other = "encrypted"
        yield info.filename, info.file_size, info.is_dir(), other, lambda info=info: packed.open(info)  # type: ignore[misc]


def _tar(archive: Path, stack: ExitStack) -> Iterator[_Entry]:
    """Yield the entries of a tar file, gzipped or not, in the order in which they stand."""
    zipped = archive.suffix.lower() in (".gz", ".tgz")
    opened_by: Callable[[Path], Any] = gzip.open if zipped else partial(Path.open, mode="rb")
    handle = stack.enter_context(opened_by(archive))
    steady = _Steady(handle, archive)
    packed = stack.enter_context(tarfile.open(fileobj=steady, mode="r:"))  # type: ignore[call-overload]  # noqa: SIM115
    for info in packed:
        other = (
            "" if (info.isreg() and not info.issparse()) or info.isdir() else "a link" if info.issym() or info.islnk() else "no plain file"
        )
        if info.size < 0:
            raise InputError(f"{archive}: {info.name!r} has a size below zero: the archive is damaged.")
        yield info.name, info.size, info.isdir(), other, lambda info=info: packed.extractfile(info)  # type: ignore[misc]
    if steady.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes a cut or a broken heading for the end
        raise InputError(f"{archive}: the archive does not end where it should: it is truncated or damaged. Copy or download it again.")


class _Steady:
    """Bytes of a tar file that cannot be asked for more at once, or from further behind, than there may be."""

    def __init__(self, handle: Any, path: Path) -> None:
        self._handle, self._path, self._most = handle, path, min(most_bytes(path), MOST_BYTES)
        self.last = b""

    def read(self, size: int) -> bytes:
        """Read some bytes.

        Raises
        ------
        InputError
            If more are asked for than a block or a heading holds.
        """
        if not 0 <= size <= _LARGEST_READ:
            raise InputError(f"{self._path}: the archive states a heading of {size:,} bytes: it is damaged.")
        self.last = bytes(self._handle.read(size))
        return self.last

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a position.

        Raises
        ------
        InputError
            If it is further than the archive may unpack to.
        """
        if position > self._most:
            raise InputError(
                f"{self._path}: the archive unpacks to more than {MOST_RATIO} times its size: give what is to be loaded instead."
            )
        return int(self._handle.seek(position, whence))

    def tell(self) -> int:
        """Say the position."""
        return int(self._handle.tell())
