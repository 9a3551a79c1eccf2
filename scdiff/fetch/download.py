"""One file from a web server: what is missing of it is asked for, and asked for again where the connection breaks.

A file grows under a temporary name, beside a note of what the server said of it. A later call goes on where a killed one
stopped, and only while the server says that it still has the same file. Bytes are stored as they are sent.
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
"""Failures in a row, without ``WORTH`` new bytes between them, after which a server is given up."""

BACKOFF_S = 0.5
"""Wait after the first failure, seconds; each further one waits twice as long."""

LONGEST_WAIT_S = 120.0
"""Longest wait that a server may ask for, seconds."""

WORTH = 1 << 20
CHUNK = 1 << 16
LARGEST_PAGE = 1 << 23
LARGEST_UNSAID = 1 << 36
"""Bytes: so much of a page, and of a file whose size is not said."""

LONGEST_SIZE, LONGEST_SAID_S = 15, 1e9
"""Digits of a size that a file can have; seconds that are shown of a wait."""


PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment."""


class NotThereError(InputError):
    """The server has no such file."""


class _PassingError(Exception):
    """A failure that may pass, and the wait that the server asks for, seconds."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Facts:
    """What a server says of a file, as far as it does.

    Parameters
    ----------
    size
        Bytes.
    modified, etag
        Its Last-Modified and ETag, as sent.
    """

    size: int | None = None
    modified: str = ""
    etag: str = ""

    def differs(self, other: Facts) -> bool:
        """Whether the two are of different content; an ETag counts where no date is known."""
        if self.size is not None and other.size is not None and self.size != other.size:
            return True
        one, two = (
            (self.modified, other.modified)
            if self.modified and other.modified
            else (self.etag, other.etag)
        )
        return bool(one and two and one != two)


class Link:
    """Connection to web servers, with bounded patience.

    Parameters
    ----------
    timeout_s
        How long a server may send nothing, seconds.
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
        """Ask what the server says of a file, without the file.

        Raises
        ------
        InputError
            If it cannot be had.
        """

        def ask() -> Facts:
            with self._answer(url, method="HEAD") as response:
                return _facts(response) if response.status_code == 200 else Facts()

        return self._tried(ask, url)

    def page(self, url: str) -> tuple[str, str]:
        """Read a small text; return it and the address that it came from in the end.

        Raises
        ------
        InputError
            If it cannot be had.
        """

        def read() -> tuple[str, str]:
            content = b""
            with self._answer(url) as response:
                for chunk in response.raw.stream(CHUNK, decode_content=True):
                    content += chunk
                    if len(content) > LARGEST_PAGE:
                        raise InputError(
                            f"{url}: the page is larger than {LARGEST_PAGE:,} bytes, so it is no list of files."
                        )
                return content.decode("utf-8", "replace"), response.url

        return self._tried(read, url)

    def download(self, url: str, partial: Path) -> Facts:
        """Bring a file under a temporary name to its full size; return what the server says of it.

        Parameters
        ----------
        url
            Its address, http or https.
        partial
            The temporary name; what an earlier call left there is gone on with.

        Raises
        ------
        InputError
            If the file cannot be had.
        OutputError
            If it cannot be written.
        """
        return self._tried(lambda: self._pull(url, partial), url, lambda: _size(partial))

    def _tried(self, work: Callable[[], R], url: str, far: Callable[[], int] = lambda: 0) -> R:
        """Do the work, again after failures that may pass; ``far`` tells how many bytes are there."""
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
                        f"{url}: {error} and asks to wait {wait:,.0f} s. Fetch again after that."
                    ) from None
                if tries >= TRIES:
                    then = "; it goes on where it stopped" if far() else ""
                    raise InputError(
                        f"{url}: {error}, {tries} times in a row. Fetch again later{then}."
                    ) from None
                log.warning("%s: %s; trying again in %.3g s.", url, error, wait)
            time.sleep(wait)

    @contextmanager
    def _answer(
        self, url: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Iterator[Response]:
        """Give the answer to one request; its failures become errors that may pass or not."""
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
                f"{url}: no secure connection ({_plain(_cause(error))}). Check address and certificates."
            ) from None
        except (requests.Timeout, Stalled):
            raise _PassingError(f"the server sent nothing for {self._timeout_s:g} s") from None
        except (requests.ConnectionError, HTTPError) as error:
            unknown = isinstance(_cause(error), NameResolutionError)
            raise _PassingError(
                "no server of this name can be found"
                if unknown
                else "the connection was refused or broke off"
            ) from None
        except (
            requests.RequestException,
            ValueError,
        ) as error:  # a redirect in circles, or to another scheme than http and https
            raise InputError(
                f"{url}: cannot be fetched ({_plain(error)}). Give an http or https address that leads to the file."
            ) from None

    def _pull(self, url: str, partial: Path) -> Facts:
        """Get what is missing of a file, in one request."""
        known = _read_note(partial, url)
        start = _size(partial) if known else 0
        if start and known and known.size == start:
            return known
        with self._answer(url, headers=_from(start, known)) as response:
            facts = _facts(response)
            if response.status_code != 200:
                facts = _continued(response, facts, known, start, partial)
            elif start:
                log.warning(
                    "%s: the server does not go on at byte %s, so the download starts over.",
                    url,
                    f"{start:,}",
                )
                start = 0
            _check_room(partial, facts, start)
            _store(response, url, facts, partial, start)
        if facts.size is None and _size(partial) - start > LARGEST_UNSAID:
            discard(partial)
            raise InputError(
                f"{url}: more than {LARGEST_UNSAID:,} bytes came, and the server does not say how many there are. Check the address."
            )
        if facts.size not in {None, _size(partial)}:
            if _size(partial) > (facts.size or 0):
                discard(partial)
            raise _PassingError("the server sent another number of bytes than it said")
        return facts


def discard(partial: Path) -> None:
    """Remove a file under a temporary name, and its note."""
    partial.unlink(missing_ok=True)
    _note(partial).unlink(missing_ok=True)


def _check_answer(response: Response, url: str) -> None:
    """Tell answers that are a file from those that are none, and from those that may pass."""
    status, said = response.status_code, f"{response.status_code} {_plain(response.reason)}"
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise InputError(
            f"{url}: the server leads from https to {response.url}, which anyone on the way could change."
        )
    if status in PASSING:
        raise _PassingError(f"the server answers {said}", _retry_after(response))
    if status in {404, 410}:
        raise NotThereError(f"{url}: the server has no such file ({said}). Check the address.")
    if status in {401, 403}:
        raise InputError(
            f"{url}: the server refuses access ({said}). The file is not public, or needs a login."
        )
    if status not in ({200, 405, 501} if response.request.method == "HEAD" else {200, 206, 416}):
        raise InputError(f"{url}: the server answers {said}, which is no file. Check the address.")


def _retry_after(response: Response) -> float | None:
    """Wait that the server asks for, in seconds; none where it asks for none that can be read."""
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


def _facts(response: Response) -> Facts:
    """Take what an answer says of the whole file."""
    text = (
        response.headers.get("Content-Length", "")
        if response.status_code == 200
        else _range(response)[1]
    )
    modified, etag = (_plain(response.headers.get(name, "")) for name in ("Last-Modified", "ETag"))
    if text.isdecimal() and len(text) > LONGEST_SIZE:
        raise InputError(
            f"{response.url}: the server says a size of {len(text):,} digits, which no file has. Check the address."
        )
    return Facts(int(text) if text.isdecimal() else None, modified, etag)


def _range(response: Response) -> tuple[str, str]:
    """First byte of a partial answer and size of the whole, as text; empty where they are not said."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return (match[1], match[2]) if match else ("", "")


def _from(start: int, known: Facts | None) -> dict[str, str]:
    """Headers that ask for a file from a byte on, and for all of it where it is another by now."""
    if not start or known is None:
        return {}
    same = known.modified if known.etag.startswith("W/") else known.etag or known.modified
    return {"Range": f"bytes={start}-"} | ({"If-Range": same} if same else {})


def _continued(
    response: Response, facts: Facts, known: Facts | None, start: int, partial: Path
) -> Facts:
    """Join what is known of a file with what is said of its rest; give up a part that the rest cannot be put to."""
    if (
        response.status_code == 416
        or known is None
        or known.differs(facts)
        or _range(response)[0] != str(start)
    ):
        discard(partial)
        raise _PassingError(
            "what was downloaded before does not fit to what the server has now, so the download starts over",
            0.0,
        )
    return replace(known, size=facts.size if known.size is None else known.size)


def _check_room(partial: Path, facts: Facts, start: int) -> None:
    """Refuse a file that the disk has no room for."""
    free = shutil.disk_usage(partial.parent).free
    if facts.size is not None and facts.size - start > free:
        raise OutputError(
            f"{partial.parent}: {facts.size - start:,} bytes are to be written and {free:,} are free. Make room, or give another --out."
        )


def _store(response: Response, url: str, facts: Facts, partial: Path, start: int) -> None:
    """Write what an answer holds from a byte of the file on."""
    if "html" in response.headers.get("Content-Type", "") and not re.search(r"\.html?$", url):
        raise InputError(
            f"{url}: the server answers with a web page, not with a file. Give the address of the file itself."
        )
    try:
        with partial.open("ab" if start else "wb") as handle:
            if not start:  # only now, when the file is empty: a note must never tell of other bytes
                _note(partial).write_text(
                    json.dumps({"url": url} | asdict(facts)), encoding="utf-8"
                )
            write: Callable[[bytes], Any] = handle.write
            write = (
                write
                if facts.size is None
                else report_progress(write, facts.size - start, "bytes", len)
            )
            most = LARGEST_UNSAID if facts.size is None else facts.size - start
            for chunk in _until(response.raw.stream(CHUNK, decode_content=False), most):
                write(chunk)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise OutputError(
            f"{partial.parent}: cannot be written ({error.strerror or error}). Give another --out, with room on its disk."
        ) from None


def _until(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield chunks up to the first that goes beyond ``most`` bytes."""
    n_bytes = 0
    for chunk in chunks:
        yield chunk
        n_bytes += len(chunk)
        if n_bytes > most:
            return


def _note(partial: Path) -> Path:
    """Where it is noted what the server said of a file."""
    return partial.with_name(f"{partial.name}.json")


def _read_note(partial: Path, url: str) -> Facts | None:
    """Read what the server said of the part that is there; none where nothing tells whether the server still has the same file."""
    try:
        note = json.loads(_note(partial).read_text(encoding="utf-8"))
        facts = Facts(note["size"], note["modified"], note["etag"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return facts if note["url"] == url and any((facts.size, facts.modified, facts.etag)) else None


def _size(path: Path) -> int:
    """Bytes of a file; none where it is not there."""
    return path.stat().st_size if path.is_file() else 0


def _cause(error: Exception) -> object:
    """Find what is behind the error of a library."""
    return getattr(error.args[0] if error.args else None, "reason", error)


def _plain(said: object) -> str:
    """Shorten what a server or a library says to a line that does nothing to a terminal."""
    return "".join(sign for sign in " ".join(str(said).split()) if sign.isprintable())[:160]
