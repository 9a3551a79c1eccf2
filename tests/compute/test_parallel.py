"""Work shared between processes: the same results, errors pass, and a killed process costs nothing but time."""

from __future__ import annotations

import os

import numpy as np
import pytest

from scdiff.compute import parallel as _parallel
from scdiff.compute.parallel import each
from scdiff.errors import InputError


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(_parallel, "count_cores", lambda: 2)


def test_results_stand_in_the_order_of_the_things(two_cores):
    held = np.arange(5.0)  # what a process inherits need not be copied
    assert each(lambda i: (i, float(held[i] ** 2)), [4, 0, 2]) == [(4, 16.0), (0, 0.0), (2, 4.0)]


def test_processes_do_the_work(two_cores):
    here = os.getpid()
    assert here not in each(lambda _i: os.getpid(), [1, 2])
    assert each(lambda _i: os.getpid(), [1, 2], worthwhile=False) == [here, here]


def test_an_error_comes_back_as_it_is(two_cores):
    def refuse(_i: int) -> None:
        raise InputError("the second file is empty.")

    with pytest.raises(InputError, match="the second file is empty"):
        each(refuse, [1, 2])


def test_a_killed_process_is_made_up_for(two_cores):
    here = os.getpid()
    assert each(lambda i: i if os.getpid() == here else os._exit(9), [1, 2]) == [1, 2]


def test_work_inside_work_is_done_in_turn(two_cores):
    assert each(lambda i: sum(each(lambda j: i * j, [1, 2])), [1, 10]) == [3, 30]
