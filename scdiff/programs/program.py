"""Load programmes: the biology of scdiff, one TOML file per programme or panel.

To add a programme, add one file here, or give its path in the configuration.
Its fields are those of :class:`Program`; every marker and set states its source.
A panel (``rule = "each"``) is a list of markers, each of which is a programme of its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scdiff.bounded import read_text
from scdiff.errors import ProgramError, UnknownNameError, did_you_mean
from scdiff.genes import SPECIES, Species, annotation, ortholog

__all__ = [
    "DEFAULT_PROGRAMS", "RESERVED", "SCORECARDS", "GeneSet", "Marker", "Program", "Species",
    "StateRule",
    "load_program", "load_programs", "program_names",
]  # fmt: skip


DEFAULT_PROGRAMS = (
    "pancreatic_progenitor",
    "il10",
    "vegf",
    "hgf",
    "msc_identity",
    "homing",
    "cell_cycle",
)
"""Programmes of a run by default; the first is the main one."""

RESERVED = ("main", "fdr", "absent_as_zero", "programs", "definitions", "doublet_rates")
"""Names that the record of the calls uses for its options."""

SCORECARDS = {
    "identity": "Identity",
    "state": "State of the cells",
    "paracrine": "Paracrine factors",
    "migration": "Homing",
    "immunomodulation": "Immunomodulation",
    "responders": "Responder cells",
    "stages": "Stages of pancreatic differentiation",
    "regeneration": "Insulin-producing capacity",
    "off_target": "Off-target states",
}
"""Scorecards by name, with their headings, in the order of the report.

The name of a scorecard means all shipped programmes on it.
"""

EVERYTHING = "all"
"""Name that means all shipped programmes."""

_LONGEST, _MOST_FAULTS = 400, 10
"""Characters of a message, and faults that an error lists. Chosen, not tuned."""

_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"


class _Entry(BaseModel):
    """Strict base: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Genes(_Entry):
    """Genes by species.

    If the symbols of mouse are missing, they follow from the human ones. Those of rat follow from
    the mouse ones that the rat has, otherwise from the human ones.
    """

    name: str
    human: tuple[str, ...] = Field(min_length=1)
    mouse: tuple[str, ...] = ()
    rat: tuple[str, ...] = ()
    source: str = Field(min_length=1)

    def genes(self, species: Species) -> tuple[str, ...]:
        """Return the approved symbols in ``species``; genes without an ortholog are left out."""
        if species == "human":
            return self.human
        given = self.mouse if species == "mouse" else self.rat or self._shared_with_mouse()
        found = dict.fromkeys(ortholog(gene, species) for gene in self.human)
        return given or tuple(filter(None, found))

    def _shared_with_mouse(self) -> tuple[str, ...]:
        """Return the mouse genes that have the same symbol in rat."""
        return tuple(gene for gene in self.mouse if gene in annotation("rat").approved)


class Marker(_Genes):
    """Marker of the assay; the counts of its genes are summed.

    Parameters
    ----------
    level_cp10k
        Typical level in an expressing cell, counts per 10,000; used as a weak prior only. If
        missing, it is learned from the batch.
    counts_toward
        Whether it counts toward ``min_markers``.
    at_least, at_most
        Share of cells with the protein that a criterion requires, 0-1; for markers of a panel.
    expected
        Published knowledge about such cells, for markers of a panel. If empty, that of the panel.
    """

    level_cp10k: float | None = Field(default=None, gt=0)
    counts_toward: bool = True
    at_least: float | None = Field(default=None, ge=0, le=1)
    at_most: float | None = Field(default=None, ge=0, le=1)
    expected: str = ""


class GeneSet(_Genes):
    """Genes of the score; they do not change the call of the markers."""


class StateRule(_Entry):
    """Rule of a named state; a cell takes the first rule that it meets.

    Parameters
    ----------
    within
        Whether the rule divides the positive cells (true) or the others (false).
    on, any, high
        Markers that must all be expressed; markers of which at least one must be expressed; markers
        that must be at their typical level.
    """

    name: str = Field(pattern=_NAME)
    title: str
    within: bool
    on: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    high: tuple[str, ...] = ()


class Program(_Entry):
    """Programme: its markers, the rule that makes a cell positive, states, score genes, sources.

    Parameters
    ----------
    rule
        ``together``: at least ``min_markers`` of the markers are expressed; ``each``: a panel,
        every marker is a separate programme; ``score``: the summed genes of the sets are above
        equally abundant sets of genes.
    scorecard
        Scorecard that shows it; one of :data:`SCORECARDS`.
    direction
        What the therapy aims at: more such cells, fewer, or neither.
    expected
        Published knowledge about mesenchymal cells, so that a reader recognises a surprise.
    at_least, at_most
        Share of cells with the protein that a criterion requires, 0-1.
    calibrate
        Whether its p-values are calibrated against null sets. Those of a marker of a panel are not.
    """

    name: str = Field(pattern=_NAME)
    title: str
    summary: str = Field(min_length=1)
    positive: str = Field(default="positive", pattern=_NAME)
    min_markers: int = Field(default=1, ge=1)
    rule: Literal["together", "each", "score"] = "together"
    scorecard: str = ""
    direction: Literal["up", "down", "either"] = "either"
    expected: str = ""
    at_least: float | None = Field(default=None, ge=0, le=1)
    at_most: float | None = Field(default=None, ge=0, le=1)
    calibrate: bool = True
    species: tuple[Species, ...] = SPECIES
    source: str = Field(min_length=1)
    notes: str = ""
    markers: tuple[Marker, ...] = ()
    sets: tuple[GeneSet, ...] = ()
    states: tuple[StateRule, ...] = ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Program:
        self._check_names()
        self._check_rule()
        self._check_states()
        return self

    def _check_names(self) -> None:
        """Raise ValueError if a name is reserved, repeated or unknown, or nothing is measured."""
        names = [marker.name for marker in self.markers]
        if self.name in RESERVED:
            raise ValueError(
                f"name is {self.name!r}, which the record of the calls uses itself: "
                "rename the programme"
            )
        if len(set(names)) < len(names):
            raise ValueError("a marker is listed twice")
        if not self.markers and not self.sets:
            raise ValueError("a programme needs markers or sets")
        if self.scorecard not in ("", *SCORECARDS):
            raise ValueError(
                f"scorecard is {self.scorecard!r}. {did_you_mean(self.scorecard, SCORECARDS)}"
            )

    def _check_rule(self) -> None:
        """Raise ValueError if markers, sets and states do not fit the rule."""
        if self.rule == "each" and (self.sets or self.states or self.min_markers > 1):
            raise ValueError(
                "a panel (rule 'each') has markers only: no sets, no states, no min_markers"
            )
        if self.rule == "score" and (self.core or self.states or not self.sets):
            raise ValueError(
                "a programme with the rule 'score' is called by its sets: "
                "give sets, and neither markers nor states"
            )
        if self.markers and self.min_markers > len(self.core):
            raise ValueError(
                f"min_markers is {self.min_markers}, but only {len(self.core)} markers count "
                "toward it"
            )

    def _check_states(self) -> None:
        """Raise ValueError if the rule of a state names an unknown marker."""
        names = [marker.name for marker in self.markers]
        for rule in self.states:
            for name in (*rule.on, *rule.any, *rule.high):
                if name not in names:
                    raise ValueError(
                        f"state {rule.name!r} names {name!r}. {did_you_mean(name, names)}"
                    )

    @property
    def is_called(self) -> bool:
        """Whether cells are called; a programme with only sets is scored only."""
        return bool(self.markers) or self.rule == "score"

    @property
    def parts(self) -> tuple[Program, ...]:
        """Programmes that it contains: one per marker of a panel, otherwise itself.

        >>> [part.name for part in load_program("il10").parts]
        ['il10']
        """
        return tuple(map(self._make_part, self.markers)) if self.rule == "each" else (self,)

    def _make_part(self, marker: Marker) -> Program:
        """Return the programme of one marker of a panel."""
        word = re.sub(r"\W", "_", marker.name)
        return Program(
            name=f"{self.name}_{word}",
            title=marker.name,
            summary=f"Cells that express {marker.name} above background.",
            positive=f"{word}_positive",
            source=marker.source,
            species=self.species,
            scorecard=self.scorecard,
            direction=self.direction,
            expected=marker.expected or self.expected,
            at_least=marker.at_least,
            at_most=marker.at_most,
            calibrate=False,
            markers=(marker.model_copy(update={"counts_toward": True}),),
        )

    @property
    def core(self) -> tuple[Marker, ...]:
        """Markers that count toward ``min_markers``."""
        return tuple(marker for marker in self.markers if marker.counts_toward)

    def score_genes(self, species: Species) -> tuple[str, ...]:
        """Return the genes of the score: those of the core markers and of all sets, each once."""
        groups: list[_Genes] = [*self.core, *self.sets]
        return tuple(dict.fromkeys(gene for group in groups for gene in group.genes(species)))


@cache
def program_names() -> tuple[str, ...]:
    """Return the names of the shipped programmes and panels, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def load_program(name: str) -> Program:
    """Load a shipped programme, a marker of a shipped panel, or the TOML file of a programme.

    ``name`` is the name of a programme or of a part of a panel, or a path that ends in ``.toml``.

    Raises
    ------
    UnknownNameError
        If no programme has this name.
    ProgramError
        If the file breaks the schema.

    >>> [marker.name for marker in load_program("pancreatic_progenitor").core]
    ['PDX1', 'NKX6-1', 'INS']
    """
    return _parse(Path(name)) if name.endswith(".toml") else _load_shipped(name)


@cache
def _load_shipped(name: str) -> Program:
    """Load a shipped programme, or a marker of a shipped panel; their files never change."""
    if name in program_names():
        return _parse(Path(__file__).parent / f"{name}.toml")
    for panel in program_names():
        if name.startswith(f"{panel}_") and (
            found := [part for part in _load_shipped(panel).parts if part.name == name]
        ):
            return found[0]
    known = (*program_names(), *SCORECARDS, EVERYTHING)
    raise UnknownNameError(
        f"unknown programme {name!r}. {did_you_mean(name, known)} Or give the path of a .toml file."
    )


def _parse(path: Path) -> Program:
    """Read a programme file; an edited file is read again."""
    try:
        return _validate(read_text(path))
    except OSError as error:
        raise ProgramError(
            f"{path}: the programme file cannot be read ({error.strerror})."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path}: this is not a TOML text: {str(error)[:_LONGEST]}.") from None
    except RecursionError:
        raise ProgramError(
            f"{path}: lists are nested too deeply: this is not a programme file."
        ) from None
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, fault['loc'])) or 'programme'}: {fault['msg']}"[:_LONGEST]
            for fault in error.errors()
        ]
        faults = "; ".join(found[:_MOST_FAULTS]) + (
            f"; {len(found) - _MOST_FAULTS:,} more" if len(found) > _MOST_FAULTS else ""
        )
        raise ProgramError(f"{path}: {faults}.") from None


@cache
def _validate(text: str) -> Program:
    """Return the programme in the text of a file."""
    return Program.model_validate(tomllib.loads(text))


def load_programs(names: Iterable[str] | None = None) -> tuple[Program, ...]:
    """Load several programmes; the default ones if ``names`` is empty.

    The name of a scorecard means all shipped programmes on it, ``all`` means all shipped ones, and
    a panel means its markers.

    Raises
    ------
    ProgramError
        If two programmes share a name, or a file breaks the schema.
    UnknownNameError
        If a name is unknown.

    >>> [program.name for program in load_programs(["vegf", "hgf"])]
    ['vegf', 'hgf']
    """
    chosen = tuple(names or ()) or DEFAULT_PROGRAMS
    files = dict.fromkeys(file for name in chosen for file in _expand_name(name))
    twice = [name for number, name in enumerate(chosen) if name in chosen[:number]]
    programs = [part for file in (*files, *twice) for part in load_program(file).parts]
    seen = [program.name for program in programs]
    if len(set(seen)) < len(seen):
        raise ProgramError(
            f"two programmes share a name: {', '.join(seen)}. Each name may be used once."
        )
    return tuple(programs)


def _expand_name(name: str) -> tuple[str, ...]:
    """Return the programmes that one name means.

    Of all programmes, the default ones come first, then those of each scorecard.
    """
    if name == EVERYTHING:
        on_cards = [file for card in SCORECARDS for file in _expand_name(card)]
        return tuple(dict.fromkeys([*DEFAULT_PROGRAMS, *on_cards, *program_names()]))
    if name in SCORECARDS:
        return tuple(file for file in program_names() if load_program(file).scorecard == name)
    return (name,)
