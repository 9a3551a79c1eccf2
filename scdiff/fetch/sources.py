"""Fetch public data to a folder: GEO accessions, queries of the CELLxGENE Census, web addresses.

A lock file records the origin of each file. Files in it are verified and not downloaded again.
Existing files are never overwritten: a file that changed, here or on its server, is an error.
"""

from __future__ import annotations

import json
import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scdiff.errors import ConfigError, InputError, OutputError
from scdiff.fetch.census import Census, Query, is_query
from scdiff.fetch.download import Facts, Link, discard
from scdiff.fetch.remotes import LOCK_FILE, Remote, find_remotes, is_address, read_members
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.checkpoint import Checkpoints
from scdiff.storage.hashes import hash_file

__all__ = [
    "LOCK_FILE",
    "Fetched",
    "Offered",
    "describe_files",
    "fetch",
    "format_remote_files",
    "list_remote_files",
]

log = logging.getLogger(__name__)


Watch = Callable[[str, str, float], None]
"""Called with ``(file, "started" | "finished", seconds)``."""


@dataclass(frozen=True)
class Offered:
    """A file that a source offers.

    Parameters
    ----------
    name
        Its name in the folder.
    size
        Bytes; None if the server does not state it.
    members
        Names and bytes of the content of an archive.
    holds
        Text to show instead of an unknown size.
    """

    name: str
    size: int | None
    members: tuple[tuple[str, int], ...] = ()
    holds: str = "size unknown"


@dataclass(frozen=True)
class Fetched:
    """A file in the folder.

    Parameters
    ----------
    name
        Its name.
    size
        Bytes.
    new
        Whether it was downloaded now; otherwise it was verified.
    """

    name: str
    size: int
    new: bool


def _ignore(name: str, event: str, seconds: float) -> None:
    """Ignore an event."""


def list_remote_files(
    sources: Sequence[str], *, pattern: str = "*", timeout_s: float = 60.0
) -> list[Offered]:
    """List the files that :func:`fetch` would download; download nothing.

    Parameters
    ----------
    sources, pattern, timeout_s
        As in :func:`fetch`.

    Raises
    ------
    ConfigError
        If a source is not an accession, an address or a query.
    InputError
        If a source cannot be reached, or has no files.
    """
    link, found = Link(timeout_s), []
    for source in sources:
        if is_query(source):
            query = Query.of(source)
            found.append(Offered(query.name, None, holds=Census().count(query.source)))
            continue
        for remote in find_remotes(source, link, pattern):
            members = read_members(remote, link) if remote.name.endswith("_RAW.tar") else ()
            found.append(Offered(remote.name, link.facts(remote.url).size, members))
    return found


def fetch(
    sources: Sequence[str],
    out: Path,
    *,
    pattern: str = "*",
    known: str = "",
    timeout_s: float = 60.0,
    watch: Watch = _ignore,
) -> list[Fetched]:
    """Download public files to a folder, or verify existing ones.

    Use it instead of a browser: it resumes a partial download, and ``scdiff-lock.json`` records the
    origin of each file.

    Parameters
    ----------
    sources
        GEO series or samples (``GSE114412``, ``GSM3141954``), whose supplementary files are
        fetched; addresses of files (http or https), with a known hash as
        ``https://...#sha256:...``; queries of the CELLxGENE Census
        (``census:human:tissue_general == 'pancreas'``), one h5ad each.
    out
        Folder for the files; it is created if it does not exist.
    pattern
        Supplementary files of an accession to fetch, such as ``*_RAW.tar``.
    known
        Hash of the file, ``sha256:...`` (or md5, sha1, sha512), if the only source is an address.
    timeout_s
        Longest time in which a server sends nothing before the next attempt, seconds.
    watch
        Called when the download of a file starts and when it is finished.

    Returns
    -------
    The files, in the order of the sources.

    Raises
    ------
    ConfigError
        If a source is not an accession, an address or a query, or two files have the same name.
    InputError
        If a file cannot be downloaded, has another hash than expected, or changed here or on its
        server.
    OutputError
        If the folder cannot be written, has no room, is in use by another run, or has a file of the
        same name from another source.
    """
    if known and (len(sources) != 1 or not is_address(sources[0])):
        raise ConfigError(
            "--hash belongs to one file. Give it with one address, or write the hash of each file "
            "after its address, as in https://...#sha256:..."
        )
    link = Link(timeout_s)
    remotes = [
        remote
        for source in sources
        for remote in find_remotes(f"{source}#{known}" if known else source, link, pattern)
    ]
    _refuse_same_name(remotes)
    with Checkpoints(out).locked():
        return [
            _verify_or_download(remote, out, Census() if is_query(remote.url) else link, watch)
            for remote in remotes
        ]


def format_remote_files(files: Sequence[Offered]) -> list[tuple[str, str]]:
    """Return names and sizes of remote files as rows; the content of an archive follows it."""
    return [
        row
        for file in files
        for row in (
            (file.name, file.holds if file.size is None else f"{file.size:,} bytes"),
            *((f"  {name}", f"{size:,} bytes") for name, size in file.members),
        )
    ]


def describe_files(files: Sequence[Fetched], out: Path) -> str:
    """Return the number of downloaded files and the next command, in two lines."""
    new = sum(file.new for file in files)
    # an archive is opened only if it is given itself, not as one of the files of a folder
    target = out / files[0].name if len(files) == 1 else out
    return (
        f"{out}: {new} downloaded, {len(files) - new} present and verified; "
        f"{LOCK_FILE} records the origin of each file.\n"
        f"Next: scdiff check {shlex.quote(str(target))}"
    )


# --- sources ---


def _refuse_same_name(remotes: Sequence[Remote]) -> None:
    """Raise ConfigError if two files would have the same name in the folder."""
    homes: dict[str, str] = {}
    for remote in remotes:
        if remote.name in homes:
            raise ConfigError(
                f"{remote.name}: {homes[remote.name]} and {remote.url} have files of this name. "
                "Fetch them to different folders."
            )
        homes[remote.name] = remote.url


# --- the folder ---


def _verify_or_download(remote: Remote, out: Path, link: Link | Census, watch: Watch) -> Fetched:
    """Verify a file of the folder, or download it if it is missing.

    Raises
    ------
    OutputError
        If the folder has a file of this name from another source.
    InputError
        If the file changed, here or on its server.
    """
    path = out / remote.name
    entry = _read_lock(out).get(remote.name)
    if entry and entry["url"] != remote.url:
        raise OutputError(
            f"{path}: comes from {entry['url']}, not from {remote.url}. "
            "Give another folder with --out."
        )
    if entry and not remote.known:
        _check_unchanged(path, entry, link.facts(remote.url))
    if not path.exists():
        return _download(remote, path, entry, link, watch)
    if not path.is_file() or not (entry or remote.known):
        raise OutputError(
            f"{path}: the file exists, and {LOCK_FILE} does not record its origin. "
            "Move it away, or give another --out."
        )
    for wanted, origin in _list_hashes(remote, entry):
        if (found := _hash(path, wanted)) != wanted:
            raise InputError(
                f"{path}: the file has {found}, but {origin} {wanted}. "
                "Move it away to fetch it again, or give another --out."
            )
    if not entry:
        _write_entry(remote, path, path, Facts())
    return Fetched(remote.name, path.stat().st_size, new=False)


def _download(
    remote: Remote, path: Path, entry: dict[str, Any] | None, link: Link | Census, watch: Watch
) -> Fetched:
    """Download a file, verify it, record it, and give it its name.

    Raises
    ------
    InputError
        If it has another hash than expected.
    OutputError
        If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    begun = time.monotonic()
    watch(remote.name, "started", 0.0)
    facts = link.download(remote.url, partial)
    for wanted, origin in _list_hashes(remote, entry):
        if (found := _hash(partial, wanted)) != wanted:
            discard(partial)
            raise InputError(
                f"{remote.url}: the downloaded file has {found}, but {origin} {wanted}. "
                "It was removed. Check address and hash."
            )
    if facts.size is None and not remote.known:
        log.warning(
            "%s: the server does not state the size of the file, so scdiff cannot detect whether "
            "it is complete. Give its hash if you have it.",
            remote.url,
        )
    # before the file gets its name, so that each file of the folder is in the record
    _write_entry(remote, path, partial, facts)
    try:
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Give another --out."
        ) from None
    discard(partial)
    watch(remote.name, "finished", time.monotonic() - begun)
    return Fetched(remote.name, path.stat().st_size, new=True)


def _list_hashes(remote: Remote, entry: dict[str, Any] | None) -> list[tuple[str, str]]:
    """List the hashes that a file must have, each with the words that state its origin."""
    hashes = [(remote.known, "should have")] if remote.known else []
    if entry:
        hashes.append((f"sha256:{entry['sha256']}", f"{LOCK_FILE} of {entry['date']} records"))
    return hashes


def _hash(path: Path, like: str) -> str:
    """Return the hash of a file, by the algorithm of the hash ``like``, in the same form."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hash_file(path, algorithm)}"


def _check_unchanged(path: Path, entry: dict[str, Any], now: Facts) -> None:
    """Raise InputError if the server states that the file has changed."""
    before = Facts(entry["size"], entry.get("modified", ""), entry.get("etag", ""))
    if before.differs(now):
        were, are = (
            f"{facts.size} bytes of {facts.modified or facts.etag or 'unknown date'}"
            for facts in (before, now)
        )
        raise InputError(
            f"{entry['url']}: changed on the server since {entry['date']} ({were}; now {are}). "
            f"{path} was not changed. Fetch the new file to another --out."
        )


def _read_lock(out: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the lock file of a folder, by name of the file.

    Raises
    ------
    InputError
        If the lock file cannot be read.
    """
    path = out / LOCK_FILE
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            name: entry | {key: entry[key] for key in ("url", "size", "sha256", "date")}
            for name, entry in files.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise InputError(
            f"{path}: this is not a lock file of scdiff. "
            "Move it away, with the files, or give another --out."
        ) from None


def _write_entry(remote: Remote, path: Path, file: Path, facts: Facts) -> None:
    """Add a file to the lock file of its folder, which is replaced as a whole."""
    entry = {
        "url": remote.url,
        "size": file.stat().st_size,
        "sha256": hash_file(file),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "modified": facts.modified,
        "etag": facts.etag,
    }
    files = _read_lock(path.parent) | {remote.name: entry}
    with replace_atomically(path.parent / LOCK_FILE) as temporary:
        temporary.write_text(
            json.dumps({"files": files}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
