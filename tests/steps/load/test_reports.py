"""Files of public bug reports are read exactly, or refused with a sentence that names the cause."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import report_cases  # noqa: F401  it fills the table
from reports import KINDS, REPORTS, Report, find_fault

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("one", REPORTS.values(), ids=str)
def test_file_of_a_report_is_read_right(one: Report, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    fault = find_fault(one.make(folder))
    assert not fault, f"{one.says}: {fault}"


def test_there_are_sixty_reports_of_every_kind_each_with_its_source() -> None:
    assert len(REPORTS) >= 60
    assert set(Counter(one.kind for one in REPORTS.values())) == set(KINDS)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", one.source) for one in REPORTS.values())
