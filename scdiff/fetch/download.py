"""Download one file from a web server; a broken connection is tried again, a partial file resumed.

A file grows under a temporary name, next to a note of what the server stated about it. A later call
resumes the download of an earlier one that was killed, but only while the server states that the
file is still the same. Bytes are stored as the server sends them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scdiff.compute.watch import report_progress
from scdiff.errors import InputError, OutputError

if TYPE_CHECKING:
    from requests import Response

__all__ = ["Facts", "Link", "NotThereError", "discard"]

log = logging.getLogger(__name__)

R = TypeVar("R")

TRIES = 6
"""Number of failures in a row, without ``WORTH`` new bytes between them, after which the download
fails. Chosen, not tuned."""

BACKOFF_S = 0.5
"""Wait after the first failure, seconds; it doubles after each further one. Chosen, not tuned."""

LONGEST_WAIT_S = 120.0
"""Longest wait that a server may request, seconds. Chosen, not tuned."""

WORTH = 1 << 20
"""Number of new bytes after which the count of failures starts again (1 MiB). Chosen, not tuned."""

CHUNK = 1 << 16
"""Number of bytes that are read at once (64 KiB). Chosen, not tuned."""

LARGEST_PAGE = 1 << 23
"""Largest page, bytes (8 MiB). Chosen, not tuned."""

LARGEST_UNSAID = 1 << 36
"""Largest file whose size the server does not state, bytes (64 GiB). Chosen, not tuned."""

LONGEST_SIZE = 15
"""Highest number of digits of a file size; 15 digits are nearly a petabyte."""

LONGEST_SAID_S = 1e9
"""Longest wait that a message shows, seconds. Chosen, not tuned."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP status codes of temporary failures."""


class NotThereError(InputError):
    """The server has no such file."""


class _PassingError(Exception):
    """A temporary failure, and the wait that the server requests, seconds."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Facts:
    """What a server states about a file; it need not state all of it.

    Parameters
    ----------
    size
        Bytes.
    modified, etag
        Last-Modified and ETag, as sent.
    """

    size: int | None = None
    modified: str = ""
    etag: str = ""

    def differs(self, other: Facts) -> bool:
        """Check whether the two describe different content.

        The ETag counts only if a date is missing.
        """
        if self.size is not None and other.size is not None and self.size != other.size:
            return True
        one, two = (
            (self.modified, other.modified)
            if self.modified and other.modified
            else (self.etag, other.etag)
        )
        return bool(one and two and one != two)


class Link:
    """Connection to web servers, with bounded waiting times.

    Parameters
    ----------
    timeout_s
        Longest time in which a server sends nothing, seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        import requests

        from scdiff import __version__

        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.max_redirects = 10
        self._session.headers.update(
            {"User-Agent": f"scdiff/{__version__}", "Accept-Encoding": "identity"}
        )

    def facts(self, url: str) -> Facts:
        """Return what the server states about a file, without downloading it.

        Raises
        ------
        InputError
            If the file cannot be reached.
        """

        def ask() -> Facts:
            with self._request(url, method="HEAD") as response:
                return _read_facts(response) if response.status_code == 200 else Facts()

        return self._retry(ask, url)

    def page(self, url: str) -> tuple[str, str]:
        """Read a small text; return it and its final address.

        Raises
        ------
        InputError
            If the page cannot be read.
        """

        def read() -> tuple[str, str]:
            content = b""
            with self._request(url) as response:
                for chunk in response.raw.stream(CHUNK, decode_content=True):
                    content += chunk
                    if len(content) > LARGEST_PAGE:
                        raise InputError(
                            f"{url}: the page is larger than {LARGEST_PAGE:,} bytes, so it is not "
                            "a list of files. Check the address."
                        )
                return content.decode("utf-8", "replace"), response.url

        return self._retry(read, url)

    def download(self, url: str, partial: Path) -> Facts:
        """Download a file, or its missing part, under a temporary name; return its facts.

        Parameters
        ----------
        url
            Its address, http or https.
        partial
            The temporary name; a partial file of an earlier call is resumed.

        Raises
        ------
        InputError
            If the file cannot be downloaded.
        OutputError
            If it cannot be written.
        """
        return self._retry(lambda: self._pull(url, partial), url, lambda: _count_bytes(partial))

    def _retry(self, work: Callable[[], R], url: str, far: Callable[[], int] = lambda: 0) -> R:
        """Call ``work`` again after temporary failures; ``far`` returns the number of bytes so far.

        Raises
        ------
        InputError
            If the server fails too often, or requests too long a wait.
        """
        tries, most = 0, far()
        while True:
            try:
                return work()
            except _PassingError as error:
                tries = 1 if far() >= most + WORTH else tries + 1
                most = max(most, far())
                wait = BACKOFF_S * 2 ** (tries - 1) if error.wait_s is None else error.wait_s
                if wait > LONGEST_WAIT_S:
                    raise InputError(
                        f"{url}: {error} and requests a wait of {wait:,.0f} s. "
                        "Fetch the file again after that."
                    ) from None
                if tries >= TRIES:
                    then = "; the download then resumes" if far() else ""
                    raise InputError(
                        f"{url}: {error}, {tries} times in a row. Fetch the file again later{then}."
                    ) from None
                log.warning("%s: %s; next attempt in %.3g s.", url, error, wait)
            time.sleep(wait)

    @contextmanager
    def _request(
        self, url: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Iterator[Response]:
        """Yield the answer to one request.

        Raises
        ------
        _PassingError
            If the failure is temporary.
        InputError
            If it is not.
        """
        import requests
        from urllib3.exceptions import HTTPError, NameResolutionError
        from urllib3.exceptions import TimeoutError as Stalled

        try:
            with self._session.request(
                method, url, headers=headers, stream=True, timeout=self._timeout_s
            ) as response:
                _check_answer(response, url)
                yield response
        except requests.exceptions.SSLError as error:
            raise InputError(
                f"{url}: no secure connection ({_clean_text(_find_cause(error))}). "
                "Check address and certificates."
            ) from None
        except (requests.Timeout, Stalled):
            raise _PassingError(f"the server sent nothing for {self._timeout_s:g} s") from None
        except (requests.ConnectionError, HTTPError) as error:
            if isinstance(_find_cause(error), NameResolutionError):
                raise _PassingError("no server of this name can be found") from None
            raise _PassingError("the connection was refused or broken") from None
        except (requests.RequestException, ValueError) as error:
            # redirects in a circle, or to another scheme than http and https
            raise InputError(
                f"{url}: cannot be fetched ({_clean_text(error)}). "
                "Give an http or https address of the file."
            ) from None

    def _pull(self, url: str, partial: Path) -> Facts:
        """Download the missing part of a file, in one request."""
        known = _read_note(partial, url)
        start = _count_bytes(partial) if known else 0
        if start and known and known.size == start:
            return known
        with self._request(url, headers=_make_headers(start, known)) as response:
            facts = _read_facts(response)
            if response.status_code != 200:
                facts = _join_facts(response, facts, known, start, partial)
            elif start:
                log.warning(
                    "%s: the server cannot resume at byte %s, so the download starts again.",
                    url,
                    f"{start:,}",
                )
                start = 0
            _check_room(partial, facts, start)
            _store(response, url, facts, partial, start)
        if facts.size is None and _count_bytes(partial) - start > LARGEST_UNSAID:
            discard(partial)
            raise InputError(
                f"{url}: the server sent more than {LARGEST_UNSAID:,} bytes and does not state the "
                "size of the file. Check the address."
            )
        if facts.size not in {None, _count_bytes(partial)}:
            if _count_bytes(partial) > (facts.size or 0):
                discard(partial)
            raise _PassingError("the server sent another number of bytes than it stated")
        return facts


def discard(partial: Path) -> None:
    """Remove a temporary file and its note."""
    partial.unlink(missing_ok=True)
    _note_path(partial).unlink(missing_ok=True)


def _check_answer(response: Response, url: str) -> None:
    """Raise an error if an answer is not a file, or a temporary failure.

    Raises
    ------
    _PassingError
        If the failure is temporary.
    NotThereError, InputError
        If it is not.
    """
    status = response.status_code
    answer = f"{status} {_clean_text(response.reason)}"
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise InputError(
            f"{url}: the server redirects from https to {response.url}, which is not secure. "
            "Give the address of the file on another server."
        )
    if status in PASSING:
        raise _PassingError(f"the server answers {answer}", _read_wait(response))
    if status in {404, 410}:
        raise NotThereError(f"{url}: the server has no such file ({answer}). Check the address.")
    if status in {401, 403}:
        raise InputError(
            f"{url}: the server refuses access ({answer}). "
            "The file is not public, or needs a login."
        )
    if status not in ({200, 405, 501} if response.request.method == "HEAD" else {200, 206, 416}):
        raise InputError(
            f"{url}: the server answers {answer}, which is not a file. Check the address."
        )


def _read_wait(response: Response) -> float | None:
    """Return the wait that the server requests, seconds; None without a readable one."""
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry

    try:
        return min(
            float(Retry().parse_retry_after(response.headers["Retry-After"])), LONGEST_SAID_S
        )
    except OverflowError:
        return LONGEST_SAID_S
    except (KeyError, ValueError, HTTPError):
        return None


def _read_facts(response: Response) -> Facts:
    """Return what an answer states about the whole file.

    Raises
    ------
    InputError
        If the size is impossible.
    """
    is_whole = response.status_code == 200
    text = response.headers.get("Content-Length", "") if is_whole else _read_range(response)[1]
    modified, etag = (
        _clean_text(response.headers.get(name, "")) for name in ("Last-Modified", "ETag")
    )
    if text.isdecimal() and len(text) > LONGEST_SIZE:
        raise InputError(
            f"{response.url}: the server states a size of {len(text):,} digits, which no file has. "
            "Check the address."
        )
    return Facts(int(text) if text.isdecimal() else None, modified, etag)


def _read_range(response: Response) -> tuple[str, str]:
    """Return first byte of a partial answer and size of the file, as text; empty if missing."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return (match[1], match[2]) if match else ("", "")


def _make_headers(start: int, known: Facts | None) -> dict[str, str]:
    """Return the headers that request a file from a byte on.

    If the file has changed, they request all of it.
    """
    if not start or known is None:
        return {}
    same = known.modified if known.etag.startswith("W/") else known.etag or known.modified
    return {"Range": f"bytes={start}-"} | ({"If-Range": same} if same else {})


def _join_facts(
    response: Response, facts: Facts, known: Facts | None, start: int, partial: Path
) -> Facts:
    """Return what is known about a file and about its rest.

    Raises
    ------
    _PassingError
        If the rest does not belong to the partial file, which is then removed.
    """
    if (
        response.status_code == 416
        or known is None
        or known.differs(facts)
        or _read_range(response)[0] != str(start)
    ):
        discard(partial)
        raise _PassingError(
            "the file on the server has changed since the download began, so it starts again",
            0.0,
        )
    return replace(known, size=facts.size if known.size is None else known.size)


def _check_room(partial: Path, facts: Facts, start: int) -> None:
    """Raise OutputError if the disk has no room for a file."""
    free = shutil.disk_usage(partial.parent).free
    if facts.size is not None and facts.size - start > free:
        raise OutputError(
            f"{partial.parent}: the download needs {facts.size - start:,} bytes, but only {free:,} "
            "are free. Make room, or give another --out."
        )


def _store(response: Response, url: str, facts: Facts, partial: Path, start: int) -> None:
    """Write the content of an answer to the partial file, from byte ``start`` on.

    Raises
    ------
    InputError
        If the answer is a web page.
    OutputError
        If the file cannot be written.
    """
    if "html" in response.headers.get("Content-Type", "") and not re.search(r"\.html?$", url):
        raise InputError(
            f"{url}: the server answers with a web page, not with a file. "
            "Give the address of the file itself."
        )
    try:
        with partial.open("ab" if start else "wb") as handle:
            if not start:  # only when the file is empty: a note must never describe other bytes
                _note_path(partial).write_text(
                    json.dumps({"url": url} | asdict(facts)), encoding="utf-8"
                )
            write: Callable[[bytes], Any] = handle.write
            most = LARGEST_UNSAID
            if facts.size is not None:
                most = facts.size - start
                write = report_progress(write, most, "bytes", len)
            for chunk in _take_until(response.raw.stream(CHUNK, decode_content=False), most):
                write(chunk)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise OutputError(
            f"{partial.parent}: cannot be written ({error.strerror or error}). "
            "Give another --out, with room on its disk."
        ) from None


def _take_until(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield chunks up to the first one that exceeds ``most`` bytes in total."""
    n_bytes = 0
    for chunk in chunks:
        yield chunk
        n_bytes += len(chunk)
        if n_bytes > most:
            return


def _note_path(partial: Path) -> Path:
    """Return the path of the note about a partial file."""
    return partial.with_name(f"{partial.name}.json")


def _read_note(partial: Path, url: str) -> Facts | None:
    """Return what the server stated about a partial file.

    None if nothing shows whether the server still has the same file.
    """
    try:
        note = json.loads(_note_path(partial).read_text(encoding="utf-8"))
        facts = Facts(note["size"], note["modified"], note["etag"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return facts if note["url"] == url and any((facts.size, facts.modified, facts.etag)) else None


def _count_bytes(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it is missing."""
    return path.stat().st_size if path.is_file() else 0


def _find_cause(error: Exception) -> object:
    """Return the cause of the error of a library."""
    return getattr(error.args[0] if error.args else None, "reason", error)


def _clean_text(text: object) -> str:
    """Return text of a server or a library as one line of at most 160 printable characters.

    Other characters could control the terminal.
    """
    return "".join(sign for sign in " ".join(str(text).split()) if sign.isprintable())[:160]
