"""Public data by name: GEO accessions, queries of the CELLxGENE Census and web addresses to a folder.

A lock file says what came from where.

Files that the lock file names are verified, and not downloaded again. Nothing that is there is ever overwritten: a file that
changed, here or on its server, is an error that says so.
"""

from __future__ import annotations

import hashlib
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
"""Told ``(file, "started" | "finished", seconds)``."""


@dataclass(frozen=True)
class Offered:
    """A file that a source offers.

    Parameters
    ----------
    name
        Name that it will have.
    size
        Bytes, None where the server does not say them.
    members
        Of an archive, with bytes.
    holds
        What is known of it in place of its size.
    """

    name: str
    size: int | None
    members: tuple[tuple[str, int], ...] = ()
    holds: str = "size unknown"


@dataclass(frozen=True)
class Fetched:
    """A file in the folder; ``size`` in bytes; ``new`` if it was downloaded now, else it was there and is verified."""

    name: str
    size: int
    new: bool


def _silent(name: str, event: str, seconds: float) -> None:
    """Watch nothing."""


def list_remote_files(
    sources: Sequence[str], *, pattern: str = "*", timeout_s: float = 60.0
) -> list[Offered]:
    """Say what there is to fetch; download nothing.

    Parameters
    ----------
    sources, pattern, timeout_s
        As of :func:`fetch`.

    Raises
    ------
    ConfigError
        If a source is neither a GEO accession nor an address.
    InputError
        If it cannot be reached, or offers nothing.
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
    watch: Watch = _silent,
) -> list[Fetched]:
    """Download public files to a folder, or verify those that are there.

    Use it in place of a browser: a download that broke off goes on, and ``scdiff-lock.json`` keeps what came from where.

    Parameters
    ----------
    sources
        GEO series or samples (``GSE114412``, ``GSM3141954``), of which the supplementary files are fetched, and addresses
        of files (http or https), with the hash that they must have, if it is known, as ``https://...#sha256:...``; queries of the
        CELLxGENE Census (``census:human:tissue_general == 'pancreas'``), each an h5ad.
    out
        Folder of the files; made where it does not exist.
    pattern
        Which supplementary files of an accession, as in ``*_RAW.tar``.
    known
        Hash of the file, ``sha256:...`` (md5, sha1, sha512 as well), where the one source is an address.
    timeout_s
        How long a server may send nothing before it is asked again, seconds.
    watch
        Called when the download of a file starts and when it is finished.

    Returns
    -------
    The files, in the order of the sources.

    Raises
    ------
    ConfigError
        If a source is neither a GEO accession nor an address, or two have files of one name.
    InputError
        If a file cannot be had, has not the hash that it must have, or changed here or on its server.
    OutputError
        If the folder cannot be written, has no room, is being written to, or holds a file of that name from elsewhere.
    """
    if known and (len(sources) != 1 or not is_address(sources[0])):
        raise ConfigError(
            "--hash is of one file: give it with one address, or write it behind each, as in https://...#sha256:..."
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
            _have(remote, out, Census() if is_query(remote.url) else link, watch)
            for remote in remotes
        ]


def format_remote_files(files: Sequence[Offered]) -> list[tuple[str, str]]:
    """List names and sizes of what there is to fetch, each archive with its members below."""
    return [
        row
        for file in files
        for row in (
            (file.name, file.holds if file.size is None else f"{file.size:,} bytes"),
            *((f"  {name}", f"{size:,} bytes") for name, size in file.members),
        )
    ]


def describe_files(files: Sequence[Fetched], out: Path) -> str:
    """Say what came and what to do with it, in two lines."""
    new = sum(file.new for file in files)
    target = (
        out / files[0].name if len(files) == 1 else out
    )  # an archive among other files is not looked into
    return (
        f"{out}: {new} downloaded, {len(files) - new} already there and verified; {LOCK_FILE} says what came from where.\n"
        f"Next: scdiff check {shlex.quote(str(target))}"
    )


# --- sources ------------------------------------------------------------------------------------------------------------


def _refuse_same_name(remotes: Sequence[Remote]) -> None:
    """Refuse two files that would have the same name here."""
    homes: dict[str, str] = {}
    for remote in remotes:
        if remote.name in homes:
            raise ConfigError(
                f"{remote.name}: comes from {homes[remote.name]} and from {remote.url}. Fetch them to different folders."
            )
        homes[remote.name] = remote.url


# --- the folder ---------------------------------------------------------------------------------------------------------


def _have(remote: Remote, out: Path, link: Link | Census, watch: Watch) -> Fetched:
    """Verify a file that is in the folder, else download it."""
    path = out / remote.name
    entry = _record(out).get(remote.name)
    if entry and entry["url"] != remote.url:
        raise OutputError(
            f"{path}: is from {entry['url']}, not from {remote.url}. Give another folder with --out."
        )
    if entry and not remote.known:
        _check_unchanged(path, entry, link.facts(remote.url))
    if not path.exists():
        return _download(remote, path, entry, link, watch)
    if not path.is_file() or not (entry or remote.known):
        raise OutputError(
            f"{path}: is there already, and {LOCK_FILE} does not say from where. Move it away, or give another --out."
        )
    for wanted, where in _wanted(remote, entry):
        if (found := _hash(path, wanted)) != wanted:
            raise InputError(
                f"{path}: the file here has {found}, but {where} {wanted}. Move it away to fetch it, or give another --out."
            )
    if not entry:
        _write_entry(remote, path, path, Facts())
    return Fetched(remote.name, path.stat().st_size, new=False)


def _download(
    remote: Remote, path: Path, entry: dict[str, Any] | None, link: Link | Census, watch: Watch
) -> Fetched:
    """Download a file, verify it, record it, and give it its name."""
    partial = path.with_name(f".{path.name}.partial")
    begun = time.monotonic()
    watch(remote.name, "started", 0.0)
    facts = link.download(remote.url, partial)
    for wanted, where in _wanted(remote, entry):
        if (found := _hash(partial, wanted)) != wanted:
            discard(partial)
            raise InputError(
                f"{remote.url}: what came has {found}, but {where} {wanted}. It is removed: check address and hash."
            )
    if facts.size is None and not remote.known:
        log.warning(
            "%s: the server does not say how long the file is: give its hash, if you have it, so that a cut is seen.",
            remote.url,
        )
    _write_entry(
        remote, path, partial, facts
    )  # before the name, so that a file that is there is always in the record
    try:
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Give another --out."
        ) from None
    discard(partial)
    watch(remote.name, "finished", time.monotonic() - begun)
    return Fetched(remote.name, path.stat().st_size, new=True)


def _wanted(remote: Remote, entry: dict[str, Any] | None) -> list[tuple[str, str]]:
    """List the hashes that a file must have, and who says so."""
    given = [(remote.known, "should have")] if remote.known else []
    return given + (
        [(f"sha256:{entry['sha256']}", f"{LOCK_FILE} of {entry['date']} says")] if entry else []
    )


def _hash(path: Path, like: str) -> str:
    """Hash of a file, with the algorithm of another hash in front."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as handle:
        return f"{algorithm}:{hashlib.file_digest(handle, algorithm).hexdigest()}"


def _check_unchanged(path: Path, entry: dict[str, Any], now: Facts) -> None:
    """Refuse to go on where the server says that it has another file by now."""
    before = Facts(entry["size"], entry.get("modified", ""), entry.get("etag", ""))
    if before.differs(now):
        were, are = (
            f"{facts.size} bytes of {facts.modified or facts.etag or 'unknown date'}"
            for facts in (before, now)
        )
        raise InputError(
            f"{entry['url']}: changed on the server since {entry['date']} ({were}; now {are}). "
            f"{path} is left as it was; fetch the new file to another --out."
        )


def _record(out: Path) -> dict[str, dict[str, Any]]:
    """Read the record of the folder, by name of the file."""
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
            f"{path}: cannot be read as the record of a fetch. Move it away, with the files, or give another --out."
        ) from None


def _write_entry(remote: Remote, path: Path, file: Path, facts: Facts) -> None:
    """Put a file into the record of its folder, replacing the record at once."""
    entry = {
        "url": remote.url,
        "size": file.stat().st_size,
        "sha256": _hash(file, "sha256:").removeprefix("sha256:"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "modified": facts.modified,
        "etag": facts.etag,
    }
    files = _record(path.parent) | {remote.name: entry}
    with replace_atomically(path.parent / LOCK_FILE) as temporary:
        temporary.write_text(
            json.dumps({"files": files}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
