"""Columns that identify a person: names, dates of birth, record numbers, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

__all__ = ["find_personal_columns", "note_personal_columns"]

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
"""Words of a column name, however they are joined: ``patientName``, ``PATIENT_NAME``, ``dob.1``."""

_NAMES = ("patient", "first", "last", "full", "given", "family")
_NUMBERS = ("record", "patient", "insurance", "nhs", "hospital", "security", "passport", "phone")
PERSONAL = frozenset(
    {
        *(f"{word} name" for word in _NAMES),
        *(f"{word} {kind}" for word in _NUMBERS for kind in ("number", "no", "nr")),
        *("surname", "forename", "lastname", "firstname", "fullname", "patientname", "initials"),
        *("dob", "of birth", "birth date", "birthdate", "birthday", "dateofbirth"),
        *("mrn", "ssn", "hicn", "email", "mail", "phone", "telephone", "mobile"),
        *("address", "street", "postcode", "zipcode", "passport"),
    }
)
"""Words, and pairs of neighbouring words, of which one makes a column personal."""


def find_personal_columns(names: Iterable[str]) -> list[str]:
    """Return the columns whose names say that they identify a person.

    Pseudonyms (``donor``, ``patient_id``) are not among them: the analysis needs them.

    >>> find_personal_columns(["donor", "Patient Name", "dateOfBirth", "MRN", "patient_id", "year"])
    ['Patient Name', 'dateOfBirth', 'MRN']
    """
    return [name for name in names if _is_personal(name)]


def _is_personal(name: str) -> bool:
    """Check the words of a column name, alone, in pairs and without separators."""
    words = [word.lower() for word in _WORDS.findall(name)]
    pairs = [" ".join(pair) for pair in pairwise(words)]
    return not PERSONAL.isdisjoint({*words, *pairs, "".join(words)})


def note_personal_columns(names: Iterable[str]) -> str:
    """Return the sentence about columns that were left out; it names no value."""
    listed = ", ".join(names)
    return (
        f"columns that seem to identify a person were left out ({listed}): "
        "rename a column to keep it."
    )
