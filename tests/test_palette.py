"""Colours: the same state always has the same, and what is not assigned is grey."""

from __future__ import annotations

from scdiff.palette import GREY, PALETTE, STATES, colours


def test_states_keep_their_colours_whatever_stands_beside_them() -> None:
    alone, beside = (
        colours(["unassigned", "beta_like"]),
        colours(["a", "beta_like", "b", "unassigned"]),
    )
    assert alone == {"unassigned": GREY, "beta_like": STATES["beta_like"]}
    assert {name: beside[name] for name in alone} == alone


def test_more_levels_than_colours_stay_apart() -> None:
    made = colours([f"level {number}" for number in range(3 * len(PALETTE))])
    assert len(set(made.values())) == 3 * len(PALETTE)


def test_no_levels_have_no_colours() -> None:
    assert colours([]) == {}
