"""What we know about biology: one TOML file per programme or panel, and the loader.

To add a programme, add one file here (or name any path in the configuration).
Its fields are those of :class:`Program`; every marker and set states its source.
A panel (``rule = "each"``) is a list of markers, each of which is a programme of its own.
"""

from scdiff.programs.program import (
    DEFAULT_PROGRAMS,
    RESERVED,
    SCORECARDS,
    GeneSet,
    Marker,
    Program,
    Species,
    StateRule,
    load_program,
    load_programs,
    program_names,
)

__all__ = [
    "DEFAULT_PROGRAMS",
    "RESERVED",
    "SCORECARDS",
    "GeneSet",
    "Marker",
    "Program",
    "Species",
    "StateRule",
    "load_program",
    "load_programs",
    "program_names",
]
