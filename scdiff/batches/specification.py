"""Read the specification of a product.

A specification lists criteria: a figure with unit, limits and source.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from scdiff.batches.decide import Limits
from scdiff.bounded import read_bytes
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean
from scdiff.options import parse_document

__all__ = [
    "UNITS",
    "Check",
    "Specification",
    "Unmeasured",
    "Written",
    "list_specifications",
    "load_specification",
    "refuse_double",
]

UNITS = {
    "%": ("fraction", 0.01),
    "fraction": ("fraction", 1.0),
    "cells": ("cells", 1.0),
    "UMI": ("UMI", 1.0),
    "genes": ("genes", 1.0),
    "text": ("text", 1.0),
    "number": ("number", 1.0),
}
"""Units: the kind of figure of each, and its factor to the unit of the tables."""

FOLDER = Path(__file__).parent / "specifications"

_STRICT = ConfigDict(extra="forbid", frozen=True)
_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"


class Check(BaseModel):
    """One line of a specification: a read-out and its limits.

    Parameters
    ----------
    id
        Identifier of the line, one word, unique in the specification.
    title
        Text for the reader.
    read_out
        ``programme/state/column`` of ``fractions.csv`` (``programme/state`` is its prevalence),
        ``qc/figure``, or ``tables/NAME.csv/column`` for any other table of the run.
    where
        For ``tables/...``: required value by column; exactly one row must match.
    low, high
        For ``tables/...``: columns with the ends of the interval.
    sample
        ``all`` (every sample except controls), the name of a sample, ``each sample``, or ``each
        control``.
    unit
        Unit of the limits, one of :data:`UNITS`.
    at_least, at_most
        Lower and upper limit: one of them, or both.
    allowed
        Texts that pass, for the unit ``text``.
    judge
        ``bound``: the end of the 95 % interval that protects the patient; ``estimate``: the figure
        itself.
    required
        Whether a result without this figure does not meet the criterion.
    kind
        ``release`` counts for the decision. ``report`` and ``alert`` are only shown; a ``report``
        needs no limit.
    source
        DOI, standard, or ``field convention``.
    note
        Remark for the reader.
    """

    model_config = _STRICT

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    title: str = Field(min_length=1, max_length=120)
    read_out: str = Field(min_length=3, max_length=200)
    where: dict[str, str] = Field(default_factory=dict)
    low: str | None = None
    high: str | None = None
    sample: str = "all"
    unit: str
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    allowed: list[str] = Field(default_factory=list)
    judge: Literal["bound", "estimate"] = "bound"
    required: bool = True
    kind: Literal["release", "report", "alert"] = "release"
    source: str = Field(min_length=3)
    note: str = ""

    @field_validator("unit")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in UNITS:
            raise ValueError(f"unknown unit {value!r}. {did_you_mean(value, UNITS)}")
        return value

    @model_validator(mode="after")
    def _has_limits(self) -> Check:
        numbers = [limit for limit in (self.at_least, self.at_most) if limit is not None]
        if self.kind == "report" and not numbers and not self.allowed:
            return self
        if (self.unit == "text") != bool(self.allowed) or bool(numbers) == bool(self.allowed):
            raise ValueError(
                "give at_least or at_most for a number, and allowed (with the unit text) for "
                "a text, not both"
            )
        if (
            self.unit in ("%", "fraction")
            and numbers
            and not 0 <= max(numbers) * UNITS[self.unit][1] <= 1
        ):
            raise ValueError(
                f"a limit of {max(numbers):g} {self.unit} is outside 0 to 100 % of the cells"
            )
        if numbers and min(numbers) < 0:
            raise ValueError(f"a limit of {min(numbers):g} is below 0")
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise ValueError(f"at_least ({numbers[0]:g}) is above at_most ({numbers[1]:g})")
        return self

    @property
    def limits(self) -> Limits:
        """Limits of the figure, in the unit of the specification."""
        return Limits(self.at_least, self.at_most, tuple(self.allowed), self.judge)

    @property
    def scale(self) -> float:
        """Factor from the unit of the specification to the unit of the tables."""
        return UNITS[self.unit][1]


class Unmeasured(BaseModel):
    """A criterion of the source that transcripts cannot measure."""

    model_config = _STRICT

    what: str
    why: str


class Specification(BaseModel):
    """A specification: what a batch must meet.

    Parameters
    ----------
    schema_version
        Version of this schema: 1.
    name, version
        Together they identify the content. Two different specifications with the same name and
        version are refused.
    title, product, author, effective
        For the reader; ``effective`` is a date.
    source
        Source of the limits: DOI, standard, or ``field convention``.
    notes
        Sentences for the page.
    suitability
        Suitability criteria of the result. If one is not met, the result is INVALID, never FAIL.
    criteria
        Acceptance criteria of the batch.
    not_measured
        Criteria of the source that this method does not measure.
    """

    model_config = _STRICT

    schema_version: Literal[1]
    name: str = Field(pattern=_NAME)
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
    title: str
    product: str = ""
    author: str = ""
    effective: date | None = None
    source: str = Field(min_length=3)
    notes: list[str] = Field(default_factory=list)
    suitability: list[Check] = Field(default_factory=list)
    criteria: list[Check] = Field(min_length=1)
    not_measured: list[Unmeasured] = Field(default_factory=list)

    @field_validator("version", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, float | int):
            raise ValueError(f'write the version as a text: version: "{value}"')  # noqa: TRY004 - pydantic needs it
        return value

    @model_validator(mode="after")
    def _names_once(self) -> Specification:
        names = [check.id for check in (*self.suitability, *self.criteria)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two lines have the id {twice[0]!r}: each id must be unique")
        if all(check.kind != "release" for check in self.criteria):
            raise ValueError("no criterion has the kind release, so there is nothing to decide")
        return self


@dataclass(frozen=True)
class Written:
    """A specification with the bytes of its file.

    Parameters
    ----------
    content
        The specification.
    data
        The bytes of its file.
    origin
        Path of the file, or ``scdiff:NAME`` for a shipped one.
    """

    content: Specification
    data: bytes
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def label(self) -> str:
        """Name and version of the specification."""
        return f"{self.content.name} {self.content.version}"

    @property
    def file(self) -> str:
        """Name of the copy in the folder of the decision."""
        return f"specification_{self.content.name}_{self.content.version}.yaml"


def list_specifications() -> tuple[str, ...]:
    """Return the names of the shipped specifications, sorted.

    >>> list_specifications()
    ('isct', 'progenitor_yield', 'residual_pluripotent', 'wj_msc')
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_specification(name: str | Path) -> Written:
    """Read a specification from the path of a YAML file, or by the name of a shipped one.

    Raises
    ------
    UnknownNameError
        If it is neither.
    ConfigError
        If it cannot be read, or does not match the schema.
    """
    shipped = list_specifications()
    if str(name) in shipped:
        return read_specification((FOLDER / f"{name}.yaml").read_bytes(), f"scdiff:{name}")
    path = Path(name)
    if not path.exists() and not re.search(r"[./\\]", str(name)):
        known = did_you_mean(str(name), shipped)
        raise UnknownNameError(
            f"unknown specification {str(name)!r}. {known} Or give the path of a YAML file."
        )
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: the specification cannot be read ({error.strerror or error})."
        ) from None
    return read_specification(data, str(path))


def read_specification(data: bytes, origin: str) -> Written:
    """Parse the bytes of a specification.

    Raises
    ------
    ConfigError
        If they are not YAML, or do not match the schema.
    """
    rule = "a specification must be a mapping with name, version and criteria."
    content = parse_document(Specification, data, where=origin, rule=rule)
    return Written(content, data, origin)


def refuse_double(specifications: list[Written], known: dict[str, str] | None = None) -> None:
    """Raise ConfigError if two different specifications have the same name and version.

    Parameters
    ----------
    specifications
        Specifications of this call.
    known
        Hashes of earlier specifications, by name and version.

    Raises
    ------
    ConfigError
        If two differ, or one differs from the shipped specification of that name and version.
    """
    earlier = {
        written.label: (written.sha256, written.origin)
        for written in map(load_specification, list_specifications())
    }
    earlier |= {
        label: (sha256, "the earlier decision in the folder")
        for label, sha256 in (known or {}).items()
    }
    for written in specifications:
        sha256, origin = earlier.setdefault(written.label, (written.sha256, written.origin))
        if sha256 != written.sha256:
            raise ConfigError(
                f"{written.origin}: specification {written.label} differs from {origin}, "
                "which has the same name and version. Give the changed specification a new "
                "version. No decision was made."
            )
