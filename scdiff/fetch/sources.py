"""Public data by name: GEO accessions, queries of the CELLxGENE Census and web addresses to a folder.

A lock file says what came from where.

Files that the lock file names are verified, and not downloaded again. Nothing that is there is ever overwritten: a file that
changed, here or on its server, is an error that says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from scdiff.errors import ConfigError, InputError, OutputError
from scdiff.fetch.census import Census, Query, is_query
from scdiff.fetch.download import LONGEST_SIZE, Facts, Link, NotThereError, discard
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

LOCK_FILE = "scdiff-lock.json"
"""Name of the record in the folder: address, size, hash and date of each file."""

GEO = "https://ftp.ncbi.nlm.nih.gov/geo"
"""Root of GEO's file tree; the environment variable ``SCDIFF_GEO`` names a mirror."""

MEMBERS = "filelist.txt"
"""GEO's list of what its archives hold; read, but not fetched."""

HASHES = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Hashes that may be given, and their hexadecimal digits."""

LONGEST_NAME = 200

Watch = Callable[[str, str, float], None]
"""Told ``(file, "started" | "finished", seconds)``."""

_PAGES = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc="


@dataclass(frozen=True)
class Remote:
    """One file to fetch: its name in the folder, its address, and the hash that it must have (``sha256:...``; empty: any)."""

    name: str
    url: str
    known: str = ""


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
        for remote in _remotes(source, link, pattern):
            members = _members(remote, link) if remote.name.endswith("_RAW.tar") else ()
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
    if known and (len(sources) != 1 or not _is_address(sources[0])):
        raise ConfigError(
            "--hash is of one file: give it with one address, or write it behind each, as in https://...#sha256:..."
        )
    link = Link(timeout_s)
    remotes = [
        remote
        for source in sources
        for remote in _remotes(f"{source}#{known}" if known else source, link, pattern)
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


def _is_address(source: str) -> bool:
    """Whether a source is meant as the address of a file."""
    return "://" in source


def _remotes(source: str, link: Link, pattern: str) -> list[Remote]:
    """Find the files of one source."""
    if is_query(source):
        query = Query.of(source)
        return [Remote(query.name, query.source)]
    if _is_address(source):
        return [_of_address(source)]
    accession = source.upper()
    if not re.fullmatch(r"(GSE|GSM)[1-9]\d*", accession):
        raise ConfigError(
            f"{source!r} is no source: give a GEO series (GSE114412) or sample (GSM3141954), the http or https address of a file, "
            "or a query of the census (census:human:CONDITION). "
            "Raw reads (SRR, SRX, PRJNA) hold no counts: look for the GEO series of the study."
        )
    return _of_accession(accession, link, pattern)


def _of_address(source: str) -> Remote:
    """Take an address apart into the file, its name and its hash."""
    url, _, known = source.partition("#")
    parts = _parts(url)
    if parts.scheme == "ftp":
        raise ConfigError(
            f"{url}: scdiff does not download by ftp; GEO and most other archives offer the same file at https://{parts.netloc}{parts.path}."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url}: this is no http or https address of a file.")
    if parts.username or parts.password:
        raise ConfigError(
            f"https://{parts.hostname}{parts.path}: leave the password out of the address, it would be kept. Use ~/.netrc."
        )
    return Remote(
        _safe(unquote(parts.path.rpartition("/")[2]), url),
        url,
        _checked_hash(known, url) if known else "",
    )


def _parts(url: str) -> SplitResult:
    """Take an address apart."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{url}: this is no address ({error}).") from None


def _checked_hash(text: str, url: str) -> str:
    """Check that a hash can be one."""
    algorithm, _, digits = text.lower().partition(":")
    if (
        not re.fullmatch(rf"[0-9a-f]{{{HASHES.get(algorithm, 0)}}}", digits)
        or algorithm not in HASHES
    ):
        allowed = ", ".join(f"{name}: with {count}" for name, count in HASHES.items())
        raise ConfigError(
            f"{url}: {text!r} is no hash that is known here; allowed are {allowed} hexadecimal digits behind it."
        )
    return f"{algorithm}:{digits}"


def _safe(name: str, where: str) -> str:
    """Check that a name from elsewhere can be that of a file in the folder, and of nothing outside of it."""
    if not name:
        raise ConfigError(
            f"{where}: the address ends without the name of a file. Give the address of the file itself."
        )
    if (
        not name.isprintable()
        or re.search(r"[/\\]|^\.", name)
        or len(name.encode()) > LONGEST_NAME
        or name == LOCK_FILE
    ):
        raise InputError(
            f"{where}: {name[:LONGEST_NAME]!r} cannot be the name of a file here. Allowed are up to {LONGEST_NAME} bytes without slashes, "
            f"backslashes, control characters and a dot in front. Download it by hand, under another name."
        )
    return name


def _refuse_same_name(remotes: Sequence[Remote]) -> None:
    """Refuse two files that would have the same name here."""
    homes: dict[str, str] = {}
    for remote in remotes:
        if remote.name in homes:
            raise ConfigError(
                f"{remote.name}: comes from {homes[remote.name]} and from {remote.url}. Fetch them to different folders."
            )
        homes[remote.name] = remote.url


class _Addresses(HTMLParser):
    """The addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _of_accession(accession: str, link: Link, pattern: str) -> list[Remote]:
    """Find the supplementary files of a GEO accession that the pattern takes."""
    kind = "series" if accession.startswith("GSE") else "samples"
    folder = f"{os.environ.get('SCDIFF_GEO', GEO).rstrip('/')}/{kind}/{accession[:3]}{accession[3:-3]}nnn/{accession}/"
    try:
        files = _in_folder(*link.page(f"{folder}suppl/"))
    except NotThereError:
        files = []
        _check_public(accession, folder, link)
    names = sorted(file.name for file in files if file.name != MEMBERS)
    if not names:
        raise InputError(
            f"{accession}: has no supplementary files in GEO. If it is a SuperSeries, fetch the SubSeries that {_PAGES}{accession} lists; "
            "else its counts are elsewhere, and that page may say where."
        )
    chosen = [file for file in files if file.name in names and fnmatchcase(file.name, pattern)]
    if not chosen:
        raise InputError(
            f"{accession}: no file is like --pattern {pattern!r}; there are {', '.join(names[:8])}{', ...' if names[8:] else ''}."
        )
    return sorted(chosen, key=lambda file: file.name)


def _check_public(accession: str, folder: str, link: Link) -> None:
    """Refuse an accession that GEO does not show."""
    try:
        link.page(folder)
    except NotThereError:
        raise InputError(
            f"{accession}: GEO shows no such accession. Check the number; it may still be private."
        ) from None


def _in_folder(page: str, address: str) -> list[Remote]:
    """Find the files that an index page links to in its own folder; links to elsewhere, and for sorting, are none."""
    parser = _Addresses()
    parser.feed(page)
    urls = dict.fromkeys(
        url
        for link in parser.found
        if "?" not in link and "#" not in link and (url := _joined(address, link))
    )
    inside = [
        url
        for url in urls
        if url.rpartition("/")[0] == address.rstrip("/") and not url.endswith("/")
    ]
    return [Remote(_safe(unquote(url.rpartition("/")[2]), address), url) for url in inside]


def _joined(address: str, link: str) -> str:
    """Address that a link of a page leads to; empty where it is none."""
    try:
        return urljoin(address, link)
    except ValueError:
        return ""


def _members(remote: Remote, link: Link) -> tuple[tuple[str, int], ...]:
    """Find what an archive of GEO holds, in the list beside it."""
    try:
        text, _ = link.page(urljoin(remote.url, MEMBERS))
    except NotThereError:
        return ()
    rows = [
        line.split("\t")
        for line in text.splitlines()
        if line.startswith("File\t") and line.count("\t") >= 3
    ]
    return tuple(
        (row[1], int(row[3]))
        for row in rows
        if row[1].isprintable() and row[3].isdecimal() and len(row[3]) <= LONGEST_SIZE
    )


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
