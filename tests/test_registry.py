"""The registry: found by name, in order, each once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from importlib import import_module

import pytest

from scdiff.errors import UnknownNameError
from scdiff.registry import Card, Registry


@pytest.fixture
def scorers() -> Registry:
    registry: Registry = Registry("scorer")

    @registry.register("zero", summary="Nothing.", source="field convention", facts={"low": 0.0})
    def zero(x: float) -> float:
        return 0 * x

    @registry.register("half", summary="Halves.", source="10.1000/x")
    def half(x: float) -> float:
        """Halve."""
        return x / 2

    return registry


def test_functions_are_found_with_their_card(scorers: Registry) -> None:
    card = scorers["zero"]
    assert (card.name, card.summary, card.source, card.facts) == (
        "zero",
        "Nothing.",
        "field convention",
        {"low": 0.0},
    )
    assert card.function(3.0) == 0
    assert scorers["half"].facts == {}


def test_order_is_that_of_registration(scorers: Registry) -> None:
    assert list(scorers) == ["zero", "half"]
    assert [card.name for card in scorers.cards()] == ["zero", "half"]


def test_the_decorator_returns_the_function_itself(scorers: Registry) -> None:
    assert scorers["half"].function.__doc__ == "Halve."


def test_a_name_is_taken_once(scorers: Registry) -> None:
    with pytest.raises(ValueError, match="scorer 'half' is registered twice"):
        scorers.register("half", summary="", source="")(abs)
    assert scorers["half"].function(4.0) == 2


def test_an_unknown_name_shows_the_near_match(scorers: Registry) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown scorer 'hafl'\. Did you mean 'half'\? Known: zero, half\."
    ):
        scorers["hafl"]


def test_facts_are_a_copy() -> None:
    facts = {"low": 0.0}
    registry: Registry = Registry("scorer")
    registry.register("abs", summary="", source="", facts=facts)(abs)
    facts["low"] = 1.0
    assert registry["abs"].facts == {"low": 0.0}


def test_a_card_does_not_change(scorers: Registry) -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        scorers["half"].name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("module", "name"), [("scdiff.steps.score", "SCORERS"), ("scdiff.report.sections", "SECTIONS")]
)
def test_every_registered_function_says_what_it_does_and_where_it_is_from(
    module: str, name: str
) -> None:
    cards: tuple[Card, ...] = getattr(import_module(module), name).cards()
    assert cards
    for card in cards:
        assert card.summary.endswith(".")
        assert card.source.startswith("10.") or card.source == "field convention"
