"""Damaged inputs are read, or refused in a sentence; no traceback, crash, hang, large memory, unpickling, file written, or file outside of the input read.

Here 63 cases, 2,500 in the tier ``long``; ``python tests/steps/load/fuzz.py --folder FOLDER`` reads any of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fuzz
import numpy as np
import pytest

from scdiff.errors import InputError
from scdiff.steps.load.readers import probe

SCRIPT = Path(__file__).with_name("fuzz.py")
SECONDS, BYTES = 30, 2_000_000_000


def outcomes(folder: Path, n_cases: int) -> list[dict]:
    """Read the cases in two processes, which must not die."""
    started = []
    for first in range(2):
        (folder / str(first)).mkdir()
        words = [
            "--cases",
            str((n_cases + 1 - first) // 2),
            "--step",
            "2",
            "--first",
            str(first),
            "--folder",
            str(folder / str(first)),
        ]
        started.append(
            subprocess.Popen(
                [sys.executable, str(SCRIPT), *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], [err[-1_000:] for _, err in ended]
    return [json.loads(line) for out, _ in ended for line in out.splitlines()]


@pytest.mark.parametrize("n_cases", [63, pytest.param(2_500, marks=pytest.mark.long)])
def test_whatever_is_damaged_is_read_or_refused_in_a_sentence(tmp_path, n_cases: int) -> None:
    found = outcomes(tmp_path, n_cases)
    assert [
        one["case"]
        for one in found
        if one["said"] != "read" and not one["said"].startswith("refused: ")
    ] == []
    assert [
        one["said"]
        for one in found
        if one["said"].startswith("refused: ") and "case" not in one["said"]
    ] == []  # each names its file
    assert max(one["seconds"] for one in found) < SECONDS
    assert max(one["peak"] for one in found) < BYTES
    assert not any(one["wrote"] or one["unpickled"] or one["outside"] for one in found)
    assert len(found) == n_cases
    assert (
        0.02 < sum(one["said"] == "read" for one in found) / n_cases < 0.3
    )  # some damage harms nothing


def test_the_watch_of_the_fuzz_sees_a_file_that_is_read(tmp_path: Path) -> None:
    bait = fuzz.bait_in(tmp_path)
    watch = fuzz.Watch(tmp_path)
    assert not watch.saw()
    bait.read_text()
    assert watch.saw()
    assert not watch.saw()


@pytest.mark.parametrize(
    "intact", [fuzz.h5ad, fuzz.loom, fuzz.archived, fuzz.tarred, fuzz.workbook]
)
@pytest.mark.parametrize("seed", range(3))
def test_files_outside_of_the_input_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, intact, seed: int
) -> None:
    monkeypatch.setenv("SCDIFF_FUZZ_OUTSIDE", str(tmp_path / "outside"))
    rng = np.random.default_rng(seed)
    (tmp_path / "given").mkdir()
    path = intact(fuzz.batch(rng), tmp_path / "given")
    fuzz.outside(path, rng)
    watch = fuzz.Watch(tmp_path / "outside")
    said = fuzz.read(path)
    assert said == "read" or said.startswith("refused: "), said
    assert not watch.saw(), said


@pytest.mark.parametrize(
    ("fate", "said"), [("crash", "crashes the HDF5 library"), ("circle", "did not end within 0 s")]
)
def test_what_kills_or_traps_the_library_is_refused(
    batch, write, monkeypatch: pytest.MonkeyPatch, fate: str, said: str
) -> None:
    path = write(batch())
    died = {
        "crash": lambda *_: os.kill(os.getpid(), signal.SIGSEGV),
        "circle": lambda *_: time.sleep(60),
    }
    monkeypatch.setattr(probe, "_walk", died[fate])
    monkeypatch.setattr(probe, "SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(InputError, match=f"batch.h5ad: reading its groups {said}"):
        probe.probe(path)
    assert time.monotonic() - begun < SECONDS


def test_an_intact_file_passes_the_probe(batch, write) -> None:
    probe.probe(write(batch()))
