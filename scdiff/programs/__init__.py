"""What we know about biology: one TOML file per programme, and the loader.

To add a programme, add one file here (or name any path in the configuration).
Its fields are those of :class:`Program`; every marker and set states its source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scdiff.errors import ProgramError, UnknownNameError, did_you_mean
from scdiff.genes import ortholog

__all__ = [
    "DEFAULT_PROGRAMS", "RESERVED", "GeneSet", "Marker", "Program", "Species", "StateRule",
    "load_program", "load_programs", "program_names",
]  # fmt: skip

Species = Literal["human", "mouse"]

DEFAULT_PROGRAMS = ("pancreatic_progenitor", "il10", "vegf", "hgf", "msc_identity", "homing", "cell_cycle")
"""The programmes of a run that names none; the first is the main one."""

RESERVED = ("main", "fdr", "absent_as_zero", "programs", "doublet_rates")
"""Names that the record of the calls has for its options."""

_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"


class _Entry(BaseModel):
    """Strict base: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Genes(_Entry):
    """Something that names genes per species; mouse symbols follow from the human ones where not given."""

    name: str
    human: tuple[str, ...] = Field(min_length=1)
    mouse: tuple[str, ...] = ()
    source: str = Field(min_length=1)

    def genes(self, species: Species) -> tuple[str, ...]:
        """Approved symbols in ``species``; a gene without an ortholog there has none."""
        if species == "human":
            return self.human
        return self.mouse or tuple(filter(None, map(ortholog, self.human)))


class Marker(_Genes):
    """One marker of the assay: the counts of its genes are summed.

    Parameters
    ----------
    level_cp10k
        Typical level in an expressing cell, counts per 10,000; a weak prior only.
    counts_toward
        Whether it is one of the markers of which ``min_markers`` are needed.
    """

    level_cp10k: float = Field(default=1.0, gt=0)
    counts_toward: bool = True


class GeneSet(_Genes):
    """Genes that enter the score only, never the call."""


class StateRule(_Entry):
    """A named state; a cell takes the first rule that it meets.

    Parameters
    ----------
    within
        Whether the rule divides the positive cells (true) or the others (false).
    on, any, high
        Markers that must all be expressed; of which one must be; that must be at their typical level.
    """

    name: str = Field(pattern=_NAME)
    title: str
    within: bool
    on: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    high: tuple[str, ...] = ()


class Program(_Entry):
    """A programme: its markers, the rule that makes a cell positive, sub-states, score genes, sources."""

    name: str = Field(pattern=_NAME)
    title: str
    summary: str = Field(min_length=1)
    positive: str = Field(default="positive", pattern=_NAME)
    min_markers: int = Field(default=1, ge=1)
    species: tuple[Species, ...] = ("human", "mouse")
    source: str = Field(min_length=1)
    notes: str = ""
    markers: tuple[Marker, ...] = ()
    sets: tuple[GeneSet, ...] = ()
    states: tuple[StateRule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Program:
        names = [marker.name for marker in self.markers]
        if self.name in RESERVED:
            raise ValueError(f"name is {self.name!r}, which the record of the calls uses itself: rename the programme")
        if len(set(names)) < len(names):
            raise ValueError("a marker is listed twice")
        if not self.markers and not self.sets:
            raise ValueError("a programme needs markers or sets")
        if self.markers and self.min_markers > len(self.core):
            raise ValueError(f"min_markers is {self.min_markers}, but only {len(self.core)} markers count toward it")
        for rule in self.states:
            for name in (*rule.on, *rule.any, *rule.high):
                if name not in names:
                    raise ValueError(f"state {rule.name!r} names {name!r}. {did_you_mean(name, names)}")
        return self

    @property
    def core(self) -> tuple[Marker, ...]:
        """The markers that count toward ``min_markers``."""
        return tuple(marker for marker in self.markers if marker.counts_toward)

    def score_genes(self, species: Species) -> tuple[str, ...]:
        """Genes of the score: those of the core markers and of all sets, each once."""
        groups: list[_Genes] = [*self.core, *self.sets]
        return tuple(dict.fromkeys(gene for group in groups for gene in group.genes(species)))


def program_names() -> tuple[str, ...]:
    """Names of the shipped programmes, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def load_program(name: str) -> Program:
    """Load a shipped programme by name, or any programme by the path of its TOML file.

    Raises
    ------
    UnknownNameError
        If nothing is known under ``name``.
    ProgramError
        If the file breaks the schema.

    >>> [marker.name for marker in load_program("pancreatic_progenitor").core]
    ['PDX1', 'NKX6-1', 'INS']
    """
    is_path = name.endswith(".toml")
    path = Path(name) if is_path else Path(__file__).parent / f"{name}.toml"
    if not is_path and name not in program_names():
        raise UnknownNameError(f"unknown programme {name!r}. {did_you_mean(name, program_names())} Or give the path of a .toml file.")
    return _parse(path)


@cache
def _parse(path: Path) -> Program:
    try:
        return Program.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ProgramError(f"{path}: the programme file cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path}: this is not a TOML text: {error}.") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'programme'}: {fault['msg']}" for fault in error.errors())
        raise ProgramError(f"{path}: {faults}.") from None


def load_programs(names: Iterable[str] | None = None) -> tuple[Program, ...]:
    """Load several programmes; the default ones where ``names`` is empty.

    Raises
    ------
    ProgramError
        If two programmes share a name, besides what :func:`load_program` raises.
    """
    programs = tuple(load_program(name) for name in (tuple(names or ()) or DEFAULT_PROGRAMS))
    seen = [program.name for program in programs]
    if len(set(seen)) < len(seen):
        raise ProgramError(f"two programmes share a name: {', '.join(seen)}. Each name may be used once.")
    return programs
