"""The programmes of a run, as ``call`` read them: kept in the record, so that no later step looks for their files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from scdiff.errors import ScdiffError
from scdiff.programs import DEFAULT_PROGRAMS, Program, load_program, load_programs
from scdiff.steps._common import recorded

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["DEFINITIONS", "as_text", "called_programs", "main_program", "positive_of"]

DEFINITIONS = "definitions"
"""Key in ``uns["scdiff"]["call"]`` of the programmes, as JSON."""


def as_text(programs: Iterable[Program]) -> str:
    """Write programmes as one text, which every file of a result can hold."""
    return json.dumps([program.model_dump(mode="json", exclude_defaults=True) for program in programs])


@lru_cache(maxsize=4)  # the steps and sections of a run ask for the same ones again and again
def _from_text(text: str) -> dict[str, Program]:
    """Read what :func:`as_text` wrote, by name."""
    return {program.name: program for program in map(Program.model_validate, json.loads(text))}


def called_programs(adata: AnnData) -> dict[str, Program]:
    """Read the programmes of a run by name, as they were when the cells were called.

    A record of an older version holds their names and paths only: these are loaded again, without those whose file is gone.
    """
    record = recorded(adata, "call")
    if text := str(record.get(DEFINITIONS, "")):
        return dict(_from_text(text))
    found: dict[str, Program] = {}
    for name in [str(name) for name in record.get("programs", ())] or [""]:
        try:
            found |= {program.name: program for program in load_programs([name] if name else None)}
        except ScdiffError:
            continue
    return found


def main_program(adata: AnnData) -> Program:
    """Take the programme that carries the verdict: the first that was called, the first shipped one before the calls."""
    name = str(recorded(adata, "call").get("main", DEFAULT_PROGRAMS[0]))
    return called_programs(adata).get(name) or load_program(name)


def positive_of(adata: AnnData, program: str) -> str:
    """Name the state that all positive cells of a programme share; empty where neither the run nor the package knows it."""
    known = called_programs(adata).get(program)
    try:
        return (known or load_program(program)).positive
    except ScdiffError:
        return ""
