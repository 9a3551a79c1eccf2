"""Functions of one kind, found by name, each with a card of facts about it.

A scorer, a trajectory method or a report section is one decorated function;
the choice in the configuration, the listing and the property tests come along by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from scdiff.errors import UnknownNameError, did_you_mean

__all__ = ["Card", "Registry"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Card(Generic[F]):
    """What is known about one registered function.

    Parameters
    ----------
    name
        The name users write.
    function
        The function itself.
    summary
        One sentence for listings.
    source
        DOI of the method, or ``field convention``.
    facts
        Whatever the runner of this kind needs to know (value range, wanted matrix, ...).
    """

    name: str
    function: F
    summary: str
    source: str
    facts: dict[str, Any] = field(default_factory=dict)


class Registry(Generic[F]):
    """Registered functions of one ``kind``, in the order of their registration.

    >>> methods: Registry = Registry("scorer")
    >>> @methods.register("half", summary="Halves.", source="field convention", facts={"low": 0.0})
    ... def half(x):
    ...     return x / 2
    >>> methods["half"].function(3.0), methods["half"].facts, list(methods)
    (1.5, {'low': 0.0}, ['half'])
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._cards: dict[str, Card[F]] = {}

    def register(
        self, name: str, *, summary: str, source: str, facts: Mapping[str, Any] | None = None
    ) -> Callable[[F], F]:
        """Return the decorator that registers a function under ``name``.

        The options are the fields of its :class:`Card`.

        Raises
        ------
        ValueError
            If the name is taken.
        """

        def enter(function: F) -> F:
            if name in self._cards:
                msg = f"{self.kind} {name!r} is registered twice"
                raise ValueError(msg)
            self._cards[name] = Card(name, function, summary, source, dict(facts or {}))
            return function

        return enter

    def __getitem__(self, name: str) -> Card[F]:
        if name not in self._cards:
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}. {did_you_mean(name, self._cards)}"
            )
        return self._cards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def cards(self) -> tuple[Card[F], ...]:
        """All cards, in the order of their registration."""
        return tuple(self._cards.values())
