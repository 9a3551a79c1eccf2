"""Fetching, against a real server on the loopback that breaks off, stalls, refuses, lies and changes its files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
import scipy.io
from anndata import AnnData
from scipy import sparse

import scdiff.io
from scdiff.cli import main
from scdiff.compute.watch import watch_progress
from scdiff.errors import InputError, OutputError
from scdiff.fetch import download
from scdiff.fetch.download import Facts
from scdiff.fetch.sources import Fetched, Offered, fetch, list_remote_files

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SERIES = "/geo/series/GSE114nnn/GSE114412"


@dataclass
class File:
    """What a path serves, and how it goes wrong: one fault for each GET, then none."""

    content: bytes = CONTENT
    etag: str = '"one"'
    modified: str = "Mon, 14 May 2018 10:00:00 GMT"
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """An answer other than the file: a status, or a body that ends, or waits, after so many bytes."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: int | None = None
    hold: bool = False


class Site:
    """A server with its files; remembers who asked for what."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.accepted: set[str | None] = set()
        self.go_on = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()

    def put(self, path: str, content: bytes = CONTENT, **how: object) -> str:
        """Serve a file; return its address."""
        self.files[path] = File(content, **how)  # type: ignore[arg-type]
        return self.url + path

    def geo(self, names: dict[str, bytes], folder: str = SERIES) -> None:
        """Serve a folder of supplementary files as GEO does."""
        links = "".join(
            f'<a href="{quote(name)}">{name[:20]}..&gt;</a>  2018-11-27 13:27  1.1G\n'
            for name in names
        )
        page = f"""<html><head><title>Index of {folder}/suppl</title></head><body><h1>Index of {folder}/suppl</h1>
            <pre>Name <a href="?C=M;O=A">Last modified</a> <hr><a href="{folder}/">Parent Directory</a> -\n{links}<hr></pre>
            <a href="https://example.org/policy/index.html">Policy</a></body></html>"""
        self.put(f"{folder}/suppl/", page.encode(), headers={"Content-Type": "text/html"})
        self.put(f"{folder}/", b"<a href='suppl/'>suppl</a>", headers={"Content-Type": "text/html"})
        for name, content in names.items():
            self.put(f"{folder}/suppl/{quote(name)}", content)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        file = self.files.get(request.path)
        self.accepted.add(request.headers.get("Accept-Encoding"))
        self.asked.append((request.command, request.path, request.headers.get("Range", "")))
        fault = file.faults.pop(0) if file and file.faults and request.command == "GET" else Fault()
        if file is None or fault.status:
            headers = {"Content-Length": "0"} | fault.headers
            return self.send(request, fault.status or 404, headers, fault.body, Fault())
        start, status = self.first(request, file), 200
        headers = {"Last-Modified": file.modified, "ETag": file.etag} | file.headers
        if start:
            status, headers["Content-Range"] = (
                206,
                f"bytes {start}-{len(file.content) - 1}/{len(file.content)}",
            )
        headers = {"Content-Length": str(len(file.content) - start)} | headers
        body = b"" if request.command == "HEAD" else file.content[start:]
        return self.send(
            request, status, {name: value for name, value in headers.items() if value}, body, fault
        )

    @staticmethod
    def first(request: BaseHTTPRequestHandler, file: File) -> int:
        """First byte to send: that asked for, if the file is still the one that it is asked of."""
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        wanted = request.headers.get("If-Range")
        same = wanted is None or (
            wanted in {file.etag, file.modified} and not wanted.startswith("W/")
        )
        return int(asked[1]) if asked and file.ranges and same else 0

    def send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        body: bytes,
        fault: Fault,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[: fault.after])
        request.wfile.flush()
        if fault.hold:
            self.go_on.wait(20)
            request.wfile.write(body[fault.after :])
        request.close_connection = (
            request.close_connection
            or (fault.after is not None and not fault.hold)
            or "Content-Length" not in headers
        )

    def gets(self, path: str) -> list[str]:
        """Ranges that were asked for of a path; empty where all of it was."""
        return [first for command, asked, first in self.asked if command == "GET" and asked == path]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site()
    monkeypatch.setenv("SCDIFF_GEO", f"{made.url}/geo")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)
    yield made
    made.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data"


def breaks_off(after: int = 100_000) -> Fault:
    return Fault(after=after)


def visible(folder: Path) -> list[str]:
    return (
        sorted(path.name for path in folder.iterdir() if path.name != ".scdiff")
        if folder.exists()
        else []
    )


def lock(out: Path) -> dict[str, dict[str, object]]:
    return json.loads((out / "scdiff-lock.json").read_text())["files"]


# --- whole downloads ------------------------------------------------------------------------------------------------------


def test_an_address_is_fetched_and_recorded(site: Site, out: Path) -> None:
    url = site.put("/a/counts%20one.h5ad")
    assert fetch([url], out) == [Fetched("counts one.h5ad", 300_000, new=True)]
    assert (out / "counts one.h5ad").read_bytes() == CONTENT
    assert visible(out) == ["counts one.h5ad", "scdiff-lock.json"]
    (entry,) = lock(out).values()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(entry.pop("date")))
    assert entry == {
        "url": url,
        "size": 300_000,
        "sha256": SHA256,
        "modified": "Mon, 14 May 2018 10:00:00 GMT",
        "etag": '"one"',
    }


def test_the_record_is_sorted_and_for_people(site: Site, out: Path) -> None:
    fetch([site.put("/b.csv", b"2"), site.put("/a.csv", b"1")], out)
    text = (out / "scdiff-lock.json").read_text()
    assert text.index("a.csv") < text.index("b.csv")
    assert len(text.splitlines()) > 14


def test_fetched_again_it_is_verified_and_not_downloaded(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    assert fetch([url], out) == [Fetched("a.h5ad", 300_000, new=False)]
    assert site.gets("/a.h5ad") == [""]


def test_with_its_hash_no_server_is_asked_again(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad") + f"#sha256:{SHA256}"
    fetch([url], out)
    site.close()
    assert fetch([url], out) == [Fetched("a.h5ad", 300_000, new=False)]


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_the_right_hash_passes_and_a_wrong_one_leaves_nothing(
    site: Site, out: Path, algorithm: str
) -> None:
    url, digits = site.put("/a.h5ad"), hashlib.new(algorithm, CONTENT).hexdigest()
    wrong = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    with pytest.raises(
        InputError,
        match=rf"/a\.h5ad: the downloaded file has {algorithm}:{digits}, but should have {algorithm}:{wrong}\. It was removed",
    ):
        fetch([f"{url}#{algorithm}:{wrong}"], out)
    assert visible(out) == []
    assert fetch([url], out, known=f"{algorithm}:{digits.upper()}")[0].new


def test_what_was_downloaded_by_hand_is_taken_over_with_its_hash_only(
    site: Site, out: Path
) -> None:
    url = site.put("/a.h5ad")
    out.mkdir()
    (out / "a.h5ad").write_bytes(CONTENT)
    with pytest.raises(
        OutputError,
        match=r"a\.h5ad: the file exists, and scdiff-lock\.json does not record its origin",
    ):
        fetch([url], out)
    assert not fetch([f"{url}#sha256:{SHA256}"], out)[0].new
    assert lock(out)["a.h5ad"]["sha256"] == SHA256
    assert site.gets("/a.h5ad") == []


def test_a_folder_of_that_name_is_left(site: Site, out: Path) -> None:
    (out / "a.h5ad").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"a\.h5ad: the file exists"):
        fetch([site.put("/a.h5ad") + f"#sha256:{SHA256}"], out)


def test_an_empty_file_and_one_of_unknown_size(
    site: Site, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch([site.put("/empty.csv", b""), site.put("/a.csv", headers={"Content-Length": ""})], out)
    assert (out / "empty.csv").read_bytes() == b""
    assert (out / "a.csv").read_bytes() == CONTENT
    assert [record.message for record in caplog.records] == [
        f"{site.url}/a.csv: the server does not state the size of the file, so scdiff cannot detect whether it is complete. Give its hash if you have it."
    ]


def test_a_zipped_file_is_stored_as_it_is_sent(site: Site, out: Path) -> None:
    zipped = gzip.compress(b"gene,a\n")
    fetch([site.put("/a.csv.gz", zipped, headers={"Content-Encoding": "gzip"})], out)
    assert (out / "a.csv.gz").read_bytes() == zipped
    assert site.accepted == {"identity"}


def test_bytes_are_told_to_whoever_watches(site: Site, out: Path) -> None:
    told: list[tuple[int, int, str]] = []
    events: list[tuple[str, str]] = []
    url = site.put("/a.h5ad", faults=[breaks_off(200_000)])
    with watch_progress(lambda done, total, what: told.append((done, total, what))):
        fetch([url], out, watch=lambda name, event, _: events.append((name, event)))
    assert told[-1] == (100_000, 100_000, "bytes")  # of what was left
    assert (200_000, 300_000, "bytes") in told
    assert events == [("a.h5ad", "started"), ("a.h5ad", "finished")]


# --- broken downloads -----------------------------------------------------------------------------------------------------


def test_a_download_that_breaks_off_goes_on(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[breaks_off(), breaks_off(50_000), breaks_off(0)])
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-"]


def test_a_later_fetch_goes_on_where_one_gave_up(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    url = site.put("/a.h5ad", faults=[breaks_off()])
    said = r"the connection was refused or broken, 1 times in a row\. Fetch the file again later; the download then resumes\."
    with pytest.raises(InputError, match=said):
        fetch([url], out)
    assert visible(out) == [".a.h5ad.partial", ".a.h5ad.partial.json"]
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["", "bytes=100000-"]
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert visible(out) == ["a.h5ad", "scdiff-lock.json"]


@pytest.mark.parametrize(
    ("etag", "modified"),
    [
        ("", "Mon, 14 May 2018 10:00:00 GMT"),
        ('W/"weak"', "Mon, 14 May 2018 10:00:00 GMT"),
        ('"one"', ""),
        ("", ""),
    ],
)
def test_it_goes_on_whatever_tells_that_the_file_is_the_same(
    site: Site, out: Path, etag: str, modified: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = site.put("/a.h5ad", faults=[breaks_off()], etag=etag, modified=modified)
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["", "bytes=100000-"]
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert "starts again" not in caplog.text


def part(content: bytes, first: int, last: int, of: str = "300000") -> Fault:
    """A part of a file as an answer, whatever was asked for."""
    return Fault(
        206,
        {"Content-Range": f"bytes {first}-{last}/{of}", "Content-Length": str(len(content))},
        content,
    )


def test_a_part_from_another_byte_on_is_not_put_to_it(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[breaks_off(), part(CONTENT[50_000:250_000], 50_000, 249_999)])
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", ""]
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_a_part_that_says_nothing_of_the_whole_is_put_to_it(site: Site, out: Path) -> None:
    url = site.put(
        "/a.h5ad", faults=[breaks_off(), part(CONTENT[100_000:], 100_000, 299_999, of="*")]
    )
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert lock(out)["a.h5ad"]["modified"] == "Mon, 14 May 2018 10:00:00 GMT"


def test_a_size_that_is_said_with_the_rest_is_held_to(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[part(CONTENT[9:19], 9, 18)])
    out.mkdir()
    (out / ".a.h5ad.partial").write_bytes(CONTENT[:9])
    (out / ".a.h5ad.partial.json").write_text(
        json.dumps({"url": url, "size": None, "modified": "", "etag": '"one"'})
    )
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["bytes=9-", "bytes=19-"]
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_a_part_that_the_server_cuts_short_is_gone_on_with(site: Site, out: Path) -> None:
    url = site.put(
        "/a.h5ad",
        faults=[breaks_off(), part(CONTENT[100_000:100_004], 100_000, 100_003)],
    )
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", "bytes=100004-"]
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_more_bytes_than_there_are_start_over(site: Site, out: Path) -> None:
    url = site.put(
        "/a.h5ad",
        faults=[breaks_off(), part(OTHER[:200_004], 100_000, 100_003)],
    )
    fetch([url], out)
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", ""]
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_a_part_of_another_address_is_not_gone_on_with(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(InputError):
        fetch([site.put("/one/a.h5ad", OTHER, faults=[breaks_off()])], out)
    fetch([site.put("/two/a.h5ad")], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_over(
    site: Site, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = site.put("/a.h5ad", faults=[breaks_off()], ranges=False)
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert "cannot resume at byte 100,000, so the download starts again" in caplog.text


@pytest.mark.parametrize(
    "sloppy", [False, True], ids=["server heeds If-Range", "server ignores If-Range"]
)
def test_a_file_that_changes_between_two_tries_is_never_put_together_of_both(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch, sloppy: bool
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    url = site.put("/a.h5ad", faults=[breaks_off()])
    with pytest.raises(InputError):
        fetch([url], out)
    monkeypatch.setattr(download, "TRIES", 6)
    site.put("/a.h5ad", OTHER, etag='"two"', modified="Tue, 15 May 2018 10:00:00 GMT")
    if sloppy:
        monkeypatch.setattr(
            Site,
            "first",
            staticmethod(lambda request, _file: 100_000 if request.headers.get("Range") else 0),
        )
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == OTHER
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", *([""] if sloppy else [])]


def test_a_part_larger_than_the_file_by_now_starts_over(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.put("/a.h5ad", faults=[breaks_off(), Fault(416, {"Content-Range": "bytes */9"})])
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert site.gets("/a.h5ad") == ["", "bytes=100000-", ""]


NOTHING_SAID = '{"url": "HERE", "size": null, "modified": "", "etag": ""}'


@pytest.mark.parametrize(
    "note", ["", "{}", "[]", '{"url": 1, "size": 2, "modified": "", "etag": ""}', NOTHING_SAID]
)
def test_a_part_of_unknown_origin_is_not_gone_on_with(site: Site, out: Path, note: str) -> None:
    out.mkdir()
    (out / ".a.h5ad.partial").write_bytes(b"x" * 1000)
    (out / ".a.h5ad.partial.json").write_text(note.replace("HERE", site.put("/a.h5ad")))
    fetch([site.put("/a.h5ad")], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_a_server_that_stalls_is_asked_again(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(after=100_000, hold=True)])
    begun = time.monotonic()
    fetch([url], out, timeout_s=0.2)
    assert 0.2 < time.monotonic() - begun < 2
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert site.gets("/a.h5ad") == ["", "bytes=65536-"]


def test_a_server_that_stalls_for_ever_is_given_up(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(after=0, hold=True)] * 6)
    with pytest.raises(InputError, match=r"the server sent nothing for 0\.1 s, 6 times in a row"):
        fetch([url], out, timeout_s=0.1)


def test_new_bytes_make_patience_new(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 2)
    url = site.put("/a.h5ad", faults=[breaks_off(60_000)] * 4)
    with pytest.raises(InputError, match="2 times in a row"):
        fetch([url], out)
    monkeypatch.setattr(download, "WORTH", 50_000)
    fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT


# --- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_answer_that_may_pass_is_asked_again(site: Site, out: Path, status: int) -> None:
    fetch([site.put("/a.h5ad", faults=[Fault(status), Fault(status)])], out)
    assert site.gets("/a.h5ad") == [""] * 3


def test_a_server_that_is_never_ready_is_given_up(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(503)] * 99)
    with pytest.raises(
        InputError,
        match=r"/a\.h5ad: the server answers 503 Service Unavailable, 6 times in a row\. Fetch the file again later",
    ):
        fetch([url], out)
    assert len(site.gets("/a.h5ad")) == 6
    assert visible(out) == []


def test_waits_grow_and_the_wait_that_a_server_asks_for_is_kept(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(download, "BACKOFF_S", 0.5)
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waits.append))
    past = {"Retry-After": "Mon, 14 May 2018 10:00:00 GMT"}
    faults = [
        Fault(503),
        Fault(503),
        Fault(429, {"Retry-After": "7"}),
        Fault(503, past),
        Fault(503, {"Retry-After": "soon"}),
    ]
    fetch([site.put("/a.h5ad", faults=faults)], out)
    assert waits == [0.5, 1.0, 7.0, 0.0, 8.0]


def test_too_long_a_wait_is_not_waited_for(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(429, {"Retry-After": "3600"})])
    with pytest.raises(
        InputError,
        match=r"answers 429 Too Many Requests and requests a wait of 3,600 s\. Fetch the file again after that",
    ):
        fetch([url], out)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, r"the server has no such file \(404 Not Found\)"),
        (410, r"the server has no such file \(410 Gone\)"),
        (403, r"the server refuses access \(403 Forbidden\)"),
        (401, r"the server refuses access \(401 Unauthorized\)"),
        (418, r"the server answers 418 .*which is not a file"),
        (204, r"the server answers 204 No Content, which is not a file"),
    ],
)
def test_an_answer_that_will_not_pass_is_said_at_once(
    site: Site, out: Path, status: int, sentence: str
) -> None:
    with pytest.raises(InputError, match=rf"/a\.h5ad: {sentence}"):
        fetch([site.put("/a.h5ad", faults=[Fault(status)])], out)
    assert site.gets("/a.h5ad") == [""]


def test_a_web_page_is_not_taken_for_a_file(site: Site, out: Path) -> None:
    url = site.put(
        "/a.h5ad", b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"}
    )
    with pytest.raises(InputError, match="answers with a web page, not with a file"):
        fetch([url], out)
    assert visible(out) == []


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/a.h5ad", "file:///etc/passwd", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_refused(site: Site, out: Path, target: str) -> None:
    with pytest.raises(InputError, match=r"cannot be fetched .*Give an http or https address"):
        fetch([site.put("/a.h5ad", faults=[Fault(302, {"Location": target})])], out)
    assert visible(out) == []


def test_a_redirect_is_followed_under_the_first_name(site: Site, out: Path) -> None:
    site.put("/store/../evil")
    url = site.put("/a.h5ad", faults=[Fault(302, {"Location": "/b/x.bin"})])
    site.put("/b/x.bin", headers={"Content-Disposition": 'attachment; filename="../../evil.sh"'})
    fetch([url], out)
    assert visible(out) == ["a.h5ad", "scdiff-lock.json"]


def test_redirects_in_circles_end(site: Site, out: Path) -> None:
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch([site.put("/a.h5ad", faults=[Fault(302, {"Location": "/a.h5ad"})] * 50)], out)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    response = SimpleNamespace(status_code=200, reason="OK", url="http://example.org/a")
    with pytest.raises(InputError, match=r"redirects from https to http://example\.org/a"):
        download._check_answer(response, "https://example.org/a")  # type: ignore[arg-type]


def test_a_server_without_its_certificate_is_refused_at_once(site: Site, out: Path) -> None:
    with pytest.raises(InputError, match="no secure connection"):
        fetch([site.url.replace("http:", "https:") + "/a.h5ad"], out)


def test_a_server_whose_name_is_not_known_is_said(
    out: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **_more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        InputError,
        match=r"https://example\.org/a\.h5ad: no server of this name can be found, 6 times in a row",
    ):
        fetch(["https://example.org/a.h5ad"], out)


def test_a_server_that_is_not_there_is_said(out: Path, site: Site) -> None:
    site.close()
    with pytest.raises(InputError, match="the connection was refused or broken, 6 times in a row"):
        fetch([f"{site.url}/a.h5ad"], out)


def test_a_disk_without_room_is_said_before_the_download(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=299_999))
    with pytest.raises(
        OutputError, match="the download needs 300,000 bytes, but only 299,999 are free"
    ):
        fetch([site.put("/a.h5ad")], out)
    assert visible(out) == []


# --- what changed ---------------------------------------------------------------------------------------------------------


def test_a_file_that_changed_on_the_server_is_said_and_left(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    site.put("/a.h5ad", OTHER[:9], etag='"two"', modified="Tue, 15 May 2018 10:00:00 GMT")
    said = r"changed on the server since 20.* \(300000 bytes of Mon, 14 .*; now 9 bytes of Tue, 15 .*\)\. .*a\.h5ad was not changed"
    with pytest.raises(InputError, match=said):
        fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_facts_differ_in_size_or_date_or_for_want_of_a_date_in_the_etag() -> None:
    one = Facts(9, "Mon", '"one"')
    assert not one.differs(one)
    assert not one.differs(Facts())
    assert not one.differs(Facts(9, "Mon", '"two"'))
    assert one.differs(Facts(0))
    assert one.differs(Facts(9, "Tue", '"one"'))
    assert one.differs(Facts(etag='"two"'))


def test_the_same_file_under_a_new_etag_did_not_change(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    site.put("/a.h5ad", etag='"another server of the same farm"')
    assert not fetch([url], out)[0].new


def test_a_server_that_answers_no_head_is_taken_as_unchanged(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    answer = site.answer

    def without_head(request: BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD":
            site.send(request, 405, {"Content-Length": "0"}, b"", Fault())
        else:
            answer(request)

    monkeypatch.setattr(site, "answer", without_head)
    assert not fetch([url], out)[0].new


def test_a_file_that_changed_here_is_said_and_left(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    (out / "a.h5ad").write_bytes(OTHER)
    with pytest.raises(
        InputError,
        match=rf"a\.h5ad: the file has sha256:.*, but scdiff-lock\.json of .* records sha256:{SHA256}",
    ):
        fetch([url], out)
    assert (out / "a.h5ad").read_bytes() == OTHER


def test_a_file_that_is_gone_comes_back_as_it_was_or_not_at_all(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad")
    fetch([url], out)
    (out / "a.h5ad").unlink()
    assert fetch([url], out)[0].new
    (out / "a.h5ad").unlink()
    site.put("/a.h5ad", OTHER)  # with the same size and date
    with pytest.raises(
        InputError,
        match=rf"the downloaded file has .*scdiff-lock\.json of .* records sha256:{SHA256}",
    ):
        fetch([url], out)
    assert visible(out) == ["scdiff-lock.json"]


def test_a_name_from_elsewhere_is_not_overwritten(site: Site, out: Path) -> None:
    fetch([site.put("/one/a.h5ad")], out)
    with pytest.raises(
        OutputError,
        match=r"a\.h5ad: comes from http.*/one/a\.h5ad, not from http.*/two/a\.h5ad\. Give another folder",
    ):
        fetch([site.put("/two/a.h5ad", OTHER)], out)
    assert (out / "a.h5ad").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"files": {"a.h5ad": {}}}', '{"files": {"a.h5ad": 1}}', '{"files": 3}']
)
def test_a_damaged_record_is_said(site: Site, out: Path, text: str) -> None:
    out.mkdir()
    (out / "scdiff-lock.json").write_text(text)
    with pytest.raises(InputError, match=r"scdiff-lock\.json: this is not a lock file of scdiff"):
        fetch([site.put("/a.h5ad")], out)


# --- GEO ------------------------------------------------------------------------------------------------------------------

MEMBERS = """#Archive/File\tName\tTime\tSize\tType
Archive\tGSE114412_RAW.tar\t11/27/2018 13:27:00\t10\tTAR
File\tGSM1_a.mtx.gz\t11/27/2018 13:27:00\t7\tMTX
File\tGSM1_b.tsv.gz\t11/27/2018 13:27:00\tunknown\tTSV
File\tGSM1_\x1b[2J.gz\t11/27/2018 13:27:00\t7\tTSV
"""
SUPPL = {
    "GSE114412_RAW.tar": b"tar",
    "GSE114412_a b+c%.csv.gz": b"csv",
    "filelist.txt": MEMBERS.encode(),
}


def test_a_series_is_all_its_supplementary_files(site: Site, out: Path) -> None:
    site.geo(SUPPL)
    assert [file.name for file in fetch(["gse114412"], out)] == [
        "GSE114412_RAW.tar",
        "GSE114412_a b+c%.csv.gz",
    ]
    assert (out / "GSE114412_a b+c%.csv.gz").read_bytes() == b"csv"
    assert visible(out) == [*sorted(SUPPL)[:2], "scdiff-lock.json"]
    assert [file.new for file in fetch(["GSE114412"], out)] == [False, False]


@pytest.mark.parametrize(
    ("accession", "folder"),
    [
        ("GSM3141954", "/geo/samples/GSM3141nnn/GSM3141954"),
        ("GSE7", "/geo/series/GSEnnn/GSE7"),
        ("GSE1000", "/geo/series/GSE1nnn/GSE1000"),
    ],
)
def test_accessions_stand_in_their_thousand(
    site: Site, out: Path, accession: str, folder: str
) -> None:
    site.geo({"x.csv": b"1"}, folder)
    assert fetch([accession], out) == [Fetched("x.csv", 1, new=True)]


def test_what_is_offered_is_listed_and_not_downloaded(site: Site, out: Path) -> None:
    site.geo(SUPPL)
    site.put("/a.csv", headers={"Content-Length": ""})
    assert list_remote_files(["GSE114412", f"{site.url}/a.csv"]) == [
        Offered("GSE114412_RAW.tar", 3, (("GSM1_a.mtx.gz", 7),)),
        Offered("GSE114412_a b+c%.csv.gz", 3),
        Offered("a.csv", None),
    ]
    assert {path for command, path, _ in site.asked if command == "GET"} == {
        f"{SERIES}/suppl/",
        f"{SERIES}/suppl/filelist.txt",
    }
    del site.files[f"{SERIES}/suppl/filelist.txt"]
    assert list_remote_files(["GSE114412"], pattern="*.tar") == [Offered("GSE114412_RAW.tar", 3)]


def test_the_pattern_chooses(site: Site, out: Path) -> None:
    site.geo(SUPPL)
    assert [file.name for file in fetch(["GSE114412"], out, pattern="*.csv.gz")] == [
        "GSE114412_a b+c%.csv.gz"
    ]
    with pytest.raises(
        InputError,
        match=r"GSE114412: no file matches --pattern '\*\.h5'\. Its files are GSE114412_RAW\.tar, GSE114412_a b\+c%",
    ):
        fetch(["GSE114412"], out, pattern="*.h5")


def test_a_series_without_files_is_said(site: Site, out: Path) -> None:
    site.geo({})
    with pytest.raises(
        InputError,
        match=r"GSE114412: has no supplementary files in GEO\. If it is a SuperSeries, fetch the SubSeries",
    ):
        fetch(["GSE114412"], out)
    del site.files[f"{SERIES}/suppl/"]
    with pytest.raises(InputError, match="GSE114412: has no supplementary files in GEO"):
        fetch(["GSE114412"], out)
    del site.files[f"{SERIES}/"]
    with pytest.raises(
        InputError,
        match=r"GSE114412: GEO does not show this accession\. Check the number; it may still be private\.",
    ):
        fetch(["GSE114412"], out)
    assert not out.exists()


def test_a_list_that_breaks_off_is_read_again_whole(site: Site, out: Path) -> None:
    site.geo(SUPPL)
    site.files[f"{SERIES}/suppl/"].faults = [breaks_off(330), Fault(503)]
    assert len(fetch(["GSE114412"], out)) == 2


def test_a_list_without_end_is_no_list(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST_PAGE", 100)
    site.geo(SUPPL)
    with pytest.raises(InputError, match="larger than 100 bytes, so it is not a list of files"):
        fetch(["GSE114412"], out)


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fevil.sh",
        "%2Fetc%2Fpasswd",
        "..%5Cevil.sh",
        "%2E%2E",
        "%2E%2E%2Fevil",
        ".hidden",
        "a%5Cb.csv",
        "a%00b.csv",
        "a%0Ab.csv",
        "%1B%5B2Ja.csv",
        "a%ED%A0%80\u2028.csv",
        "x" * 201,
        "scdiff-lock.json",
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(
    site: Site, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "below" / "data"
    site.put(f"{SERIES}/suppl/", f'<a href="{name}">x</a>'.encode())
    site.put(f"{SERIES}/suppl/{name}", b"evil")
    with pytest.raises(InputError, match="is not allowed as the name of a file") as caught:
        fetch(["GSE114412"], out)
    assert str(caught.value).isprintable()
    with pytest.raises(InputError, match="is not allowed as the name of a file"):
        fetch([f"{site.url}/{name}"], out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "link",
    [
        "../evil.sh",
        "/etc/passwd",
        "//other.example.org/a.csv",
        "https://other.example.org/a.csv",
        "below/",
        "?C=N",
    ],
)
def test_a_link_to_elsewhere_is_no_file_of_the_series(site: Site, out: Path, link: str) -> None:
    site.geo({"a.csv": b"1"})
    page = site.files[f"{SERIES}/suppl/"]
    page.content += f'<a href="{link}">x</a>'.encode()
    assert [file.name for file in fetch(["GSE114412"], out)] == ["a.csv"]


# --- sources that are none ------------------------------------------------------------------------------------------------

NO_SOURCE = {
    "raw reads": (["SRR123456"], "'SRR123456' is not a source. Give a GEO series"),
    "no number": (["GSE"], "'GSE' is not a source"),
    "path": (["counts.h5ad"], "'counts.h5ad' is not a source"),
    "ftp": (
        ["ftp://ftp.ncbi.nlm.nih.gov/geo/x.tar"],
        "the same file at https://ftp.ncbi.nlm.nih.gov/geo/x.tar",
    ),
    "file": (["file:///etc/passwd"], "not the http or https address of a file"),
    "no host": (["https:///a.h5ad"], "not the http or https address of a file"),
    "bad host": (["https://[1/a.h5ad"], "this is not an address"),
    "no name": (["https://example.org/data/"], "ends without the name of a file"),
    "password": (["https://me:secret@example.org/a.h5ad"], "the address contains a password"),
    "unknown hash": (
        ["https://example.org/a.h5ad#crc:00"],
        "'crc:00' is not an allowed hash. Allowed are md5: with 32, ",
    ),
    "short hash": (["https://example.org/a.h5ad#sha256:00"], "'sha256:00' is not an allowed hash"),
    "no digits": (["https://example.org/a.h5ad#md5:" + "g" * 32], "is not an allowed hash"),
    "one name": (
        ["https://example.org/1/a.csv", "https://example.org/2/a.csv"],
        "a.csv: https://example.org/1/a.csv and https://example.org/2/a.csv have files of this name",
    ),
    "hash of two": (
        ["https://example.org/a.csv", "https://example.org/b.csv", "--hash", f"md5:{'0' * 32}"],
        "--hash belongs to one file",
    ),
    "hash of geo": (["GSE1", "--hash", f"md5:{'0' * 32}"], "--hash belongs to one file"),
}


@pytest.mark.parametrize("case", NO_SOURCE)
def test_what_is_no_source_is_one_sentence(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, sentence = NO_SOURCE[case]
    assert main(["fetch", *words, "--out", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "secret" not in said
    assert said.startswith("scdiff: error: ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# --- more than one at a time ----------------------------------------------------------------------------------------------


def wait_for(done: Callable[[], bool]) -> None:
    """Wait until something is so, at most ten seconds."""
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def partial_size(out: Path) -> int:
    partial = out / ".a.h5ad.partial"
    return partial.stat().st_size if partial.exists() else 0


def test_a_second_fetch_to_the_same_folder_waits_outside(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(after=200_000, hold=True)])
    first = threading.Thread(target=fetch, args=([url], out))
    first.start()
    wait_for(lambda: partial_size(out) > 100_000)
    with pytest.raises(OutputError, match="another run is writing to this folder"):
        fetch([url], out)
    site.go_on.set()
    first.join(10)
    assert (out / "a.h5ad").read_bytes() == CONTENT
    assert site.gets("/a.h5ad") == [""]


def test_a_fetch_that_was_killed_goes_on(site: Site, out: Path) -> None:
    url = site.put("/a.h5ad", faults=[Fault(after=200_000, hold=True)])
    words = [sys.executable, "-m", "scdiff", "fetch", url, "--out", str(out), "--quiet"]
    with subprocess.Popen(
        words, env=os.environ | {"PYTHONPATH": str(Path(scdiff.__file__).parents[1])}
    ) as process:
        wait_for(lambda: partial_size(out) == 3 * 65536)
        process.send_signal(signal.SIGKILL)
    assert visible(out) == [".a.h5ad.partial", ".a.h5ad.partial.json"]
    assert fetch([url], out) == [Fetched("a.h5ad", 300_000, new=True)]
    assert site.gets("/a.h5ad") == ["", "bytes=196608-"]
    assert (out / "a.h5ad").read_bytes() == CONTENT


def test_killed_before_the_last_name_it_is_finished_without_a_download(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.put("/a.h5ad")
    rename = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.name == "a.h5ad":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch([url], out)
    monkeypatch.undo()
    assert fetch([url], out)[0].new
    assert site.gets("/a.h5ad") == [""]
    assert (out / "a.h5ad").read_bytes() == CONTENT


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_command_says_what_came_and_what_is_next(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.geo(SUPPL)
    out = tmp_path / "my data"
    assert main(["fetch", "GSE114412", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{out}: 2 downloaded, 0 present and verified; scdiff-lock.json records the origin of each file.",
        f"Next: scdiff check '{out}'",
    ]
    assert re.search(r"^  GSE114412_RAW\.tar +0\.\d s$", said.err, re.MULTILINE)
    assert main(["fetch", "GSE114412", "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_command_lists(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.geo(SUPPL)
    assert main(["fetch", "GSE114412", "--list", "--out", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "GSE114412_RAW.tar        3 bytes",
        "  GSM1_a.mtx.gz          7 bytes",
        "GSE114412_a b+c%.csv.gz  3 bytes",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_server_says_does_nothing_to_the_terminal(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    terminal: bool,
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    url = site.put("/%5Bred%5Da%5Bb%5D.csv", b"1")
    assert main(["fetch", url, "--out", str(tmp_path / "data")]) == 0
    assert "[red]a[b].csv" in capsys.readouterr().err
    site.put("/b.csv", etag="", modified="x\x1b[2Jx")
    assert main(["fetch", f"{site.url}/b.csv", "--out", str(tmp_path / "data")]) == 0
    site.put("/b.csv", etag="", modified="y\x1b[2Jy")
    assert main(["fetch", f"{site.url}/b.csv", "--out", str(tmp_path / "data")]) == 3
    assert "of x[2Jx; now" in (said := capsys.readouterr().err)
    assert "\x1b[2J" not in said


@pytest.mark.parametrize(("path", "code"), [("/none.h5ad", 3), ("/a.h5ad", 5)])
def test_exit_codes(
    site: Site, tmp_path: Path, path: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    site.put("/a.h5ad")
    (tmp_path / "file").touch()
    assert (
        main(["fetch", site.url + path, "--out", str(tmp_path / ("file" if code == 5 else "data"))])
        == code
    )
    assert capsys.readouterr().err.count("scdiff: error: ") == 1


def test_asking_for_help_imports_no_library_of_the_web() -> None:
    heavy = ("requests", "urllib3", "scipy", "anndata")
    code = f"import sys, scdiff.cli, scdiff.fetch.sources; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )


# --- then the same loader -------------------------------------------------------------------------------------------------


def triple(batch: AnnData) -> dict[str, bytes]:
    """Files of a 10x matrix, as a sample of GEO has them."""
    matrix = io.BytesIO()
    scipy.io.mmwrite(matrix, sparse.csc_matrix(batch.X).T.astype(int))
    features = "".join(f"{name}\t{name}\tGene Expression\n" for name in batch.var_names)
    tables = {
        "matrix.mtx.gz": matrix.getvalue(),
        "barcodes.tsv.gz": "\n".join(batch.obs_names).encode(),
        "features.tsv.gz": features.encode(),
    }
    return {f"GSM3141954_{name}": gzip.compress(content) for name, content in tables.items()}


def test_a_sample_of_geo_loads(site: Site, out: Path, small_batch: AnnData) -> None:
    site.geo(triple(small_batch), "/geo/samples/GSM3141nnn/GSM3141954")
    fetch(["GSM3141954"], out)
    loaded = scdiff.io.load(out)
    assert loaded.shape == small_batch.shape
    assert (sparse.csr_matrix(loaded.layers["counts"]) != sparse.csr_matrix(small_batch.X)).nnz == 0


def test_an_h5ad_loads(site: Site, out: Path, small_input: Path, small_batch: AnnData) -> None:
    url = site.put("/small.h5ad", small_input.read_bytes(), faults=[breaks_off(20_000)])
    fetch([url], out)
    assert scdiff.io.load(out / "small.h5ad").shape == small_batch.shape


def test_a_size_that_no_file_has_is_refused(site: Site, out: Path) -> None:
    address = site.put("/a.h5ad", headers={"Content-Length": "9" * 5_000, "Connection": "close"})
    with pytest.raises(
        InputError, match="the server states a size of 5,000 digits, which no file has"
    ):
        fetch([address], out)
    with pytest.raises(InputError, match="a size of 5,000 digits"):
        list_remote_files([address])


def test_a_bad_link_on_a_page_is_passed_over(site: Site, out: Path) -> None:
    page = b'<a href="http://[::1">broken</a> <a href="//[">too</a> <a href="a.csv">a.csv</a>'
    site.put(f"{SERIES}/suppl/", page, headers={"Content-Type": "text/html"})
    site.put(f"{SERIES}/suppl/a.csv")
    assert [file.name for file in fetch(["GSE114412"], out)] == ["a.csv"]


def test_a_redirect_to_what_is_no_address_is_refused(site: Site, out: Path) -> None:
    site.put("/a.h5ad", faults=[Fault(302, {"Location": "http://[::1"})])
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch([f"{site.url}/a.h5ad"], out)


def test_a_body_without_a_size_has_a_bound(
    site: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST_UNSAID", 100_000)
    address = site.put("/a.h5ad", headers={"Content-Length": "", "Connection": "close"})
    with pytest.raises(
        InputError,
        match="the server sent more than 100,000 bytes and does not state the size of the file",
    ):
        fetch([address], out)
    assert visible(out) == []


def test_a_wait_of_many_digits_is_said(site: Site, out: Path) -> None:
    site.put("/a.h5ad", faults=[Fault(503, {"Retry-After": "9" * 4_000})])
    with pytest.raises(InputError, match=r"requests a wait of [\d,]+ s"):
        fetch([f"{site.url}/a.h5ad"], out)
