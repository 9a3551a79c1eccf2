"""Find remote files: those of GEO accessions, queries of the census and web addresses."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from scdiff.errors import ConfigError, InputError
from scdiff.fetch.census import Query, is_query
from scdiff.fetch.download import LONGEST_SIZE, Link, NotThereError

__all__ = ["GEO", "LOCK_FILE", "Remote", "find_remotes", "is_address", "read_members"]

LOCK_FILE = "scdiff-lock.json"
"""Name of the record in the folder: address, size, hash and date of each file."""

GEO = "https://ftp.ncbi.nlm.nih.gov/geo"
"""Root of GEO's file tree; the environment variable ``SCDIFF_GEO`` names a mirror."""

MEMBERS = "filelist.txt"
"""GEO's list of the content of its archives; read, but not downloaded."""

HASHES = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Allowed hashes, and their numbers of hexadecimal digits."""

LONGEST_NAME = 200
"""Longest file name, bytes; file systems allow 255, and the temporary name is longer."""

_PAGES = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc="


@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Parameters
    ----------
    name
        Its name in the folder.
    url
        Its address, or the query of the census.
    known
        The hash that it must have (``sha256:...``); empty for any.
    """

    name: str
    url: str
    known: str = ""


def is_address(source: str) -> bool:
    """Check whether a source is meant as the address of a file."""
    return "://" in source


def find_remotes(source: str, link: Link, pattern: str) -> list[Remote]:
    """Find the files of one source.

    Raises
    ------
    ConfigError
        If it is not an accession, an address or a query.
    InputError
        If it is not public, or its page names no file.
    """
    if is_query(source):
        query = Query.of(source)
        return [Remote(query.name, query.source)]
    if is_address(source):
        return [_parse_address(source)]
    accession = source.upper()
    if not re.fullmatch(r"(GSE|GSM)[1-9]\d*", accession):
        raise ConfigError(
            f"{source!r} is not a source. Give a GEO series (GSE114412) or sample (GSM3141954), "
            "the http or https address of a file, or a query of the census "
            "(census:human:CONDITION). Raw reads (SRR, SRX, PRJNA) have no counts: use the GEO "
            "series of the study."
        )
    return _find_supplementary(accession, link, pattern)


def _parse_address(source: str) -> Remote:
    """Split an address into the file, its name and its hash.

    Raises
    ------
    ConfigError
        If it is not the http or https address of a file, or contains a password.
    """
    url, _, known = source.partition("#")
    parts = _split_address(url)
    if parts.scheme == "ftp":
        raise ConfigError(
            f"{url}: scdiff does not download by ftp. GEO and most other archives offer the same "
            f"file at https://{parts.netloc}{parts.path}."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url}: this is not the http or https address of a file.")
    if parts.username or parts.password:
        raise ConfigError(
            f"https://{parts.hostname}{parts.path}: the address contains a password, which "
            f"{LOCK_FILE} would store. Write it to ~/.netrc instead."
        )
    name = _check_name(unquote(parts.path.rpartition("/")[2]), url)
    return Remote(name, url, _check_hash(known, url) if known else "")


def _split_address(url: str) -> SplitResult:
    """Split an address, or raise ConfigError if it is not an address."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{url}: this is not an address ({error}).") from None


def _check_hash(text: str, url: str) -> str:
    """Return a hash in lower case, or raise ConfigError if its form is not allowed."""
    algorithm, _, digits = text.lower().partition(":")
    if (
        not re.fullmatch(rf"[0-9a-f]{{{HASHES.get(algorithm, 0)}}}", digits)
        or algorithm not in HASHES
    ):
        allowed = ", ".join(f"{name}: with {count}" for name, count in HASHES.items())
        raise ConfigError(
            f"{url}: {text!r} is not an allowed hash. Allowed are {allowed} hexadecimal digits."
        )
    return f"{algorithm}:{digits}"


def _check_name(name: str, where: str) -> str:
    """Return the name, or raise an error if it is not safe as the name of a file in the folder.

    Raises
    ------
    ConfigError
        If it is empty.
    InputError
        If it could be a path outside of the folder, or is too long.
    """
    if not name:
        raise ConfigError(
            f"{where}: the address ends without the name of a file. "
            "Give the address of the file itself."
        )
    if (
        not name.isprintable()
        or re.search(r"[/\\]|^\.", name)
        or len(name.encode()) > LONGEST_NAME
        or name == LOCK_FILE
    ):
        raise InputError(
            f"{where}: {name[:LONGEST_NAME]!r} is not allowed as the name of a file. "
            f"Allowed are up to {LONGEST_NAME} bytes without slashes, backslashes, control "
            "characters and a dot at the start. Download it in a browser, under another name."
        )
    return name


class _Addresses(HTMLParser):
    """Collect the addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _find_supplementary(accession: str, link: Link, pattern: str) -> list[Remote]:
    """Find the supplementary files of a GEO accession that match the pattern.

    Raises
    ------
    InputError
        If there are no such files, or GEO does not show the accession.
    """
    kind = "series" if accession.startswith("GSE") else "samples"
    root = os.environ.get("SCDIFF_GEO", GEO).rstrip("/")
    folder = f"{root}/{kind}/{accession[:3]}{accession[3:-3]}nnn/{accession}/"
    try:
        files = _list_folder(*link.page(f"{folder}suppl/"))
    except NotThereError:
        files = []
        _check_public(accession, folder, link)
    names = sorted(file.name for file in files if file.name != MEMBERS)
    if not names:
        raise InputError(
            f"{accession}: has no supplementary files in GEO. If it is a SuperSeries, fetch the "
            f"SubSeries that {_PAGES}{accession} lists. Otherwise its counts are elsewhere, and "
            "that page may state where."
        )
    chosen = [file for file in files if file.name in names and fnmatchcase(file.name, pattern)]
    if not chosen:
        listed = ", ".join([*names[:8], *(["..."] if names[8:] else [])])
        raise InputError(
            f"{accession}: no file matches --pattern {pattern!r}. Its files are {listed}."
        )
    return sorted(chosen, key=lambda file: file.name)


def _check_public(accession: str, folder: str, link: Link) -> None:
    """Raise InputError if GEO does not show an accession."""
    try:
        link.page(folder)
    except NotThereError:
        raise InputError(
            f"{accession}: GEO does not show this accession. "
            "Check the number; it may still be private."
        ) from None


def _list_folder(page: str, address: str) -> list[Remote]:
    """List the files that an index page links to in its own folder.

    Links to other folders, and links that sort the page, are ignored.
    """
    parser = _Addresses()
    parser.feed(page)
    urls = dict.fromkeys(
        url
        for link in parser.found
        if "?" not in link and "#" not in link and (url := _join_address(address, link))
    )
    inside = [
        url
        for url in urls
        if url.rpartition("/")[0] == address.rstrip("/") and not url.endswith("/")
    ]
    return [Remote(_check_name(unquote(url.rpartition("/")[2]), address), url) for url in inside]


def _join_address(address: str, link: str) -> str:
    """Return the address of a link on a page; empty if it is not an address."""
    try:
        return urljoin(address, link)
    except ValueError:
        return ""


def read_members(remote: Remote, link: Link) -> tuple[tuple[str, int], ...]:
    """Return names and sizes (bytes) of the content of a GEO archive, from the list next to it.

    Empty if there is no list.
    """
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
