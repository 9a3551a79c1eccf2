"""Read and write the record of a run in ``uns["scdiff"]``.

It has the entries of each step, and the programmes as ``call`` read them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ScdiffError
from scdiff.genes import SPECIES, Species, detect_species
from scdiff.keys import Key
from scdiff.programs import DEFAULT_PROGRAMS, Program, load_program, load_programs

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "DEFINITIONS",
    "as_text_array",
    "dump_programs",
    "find_positive_state",
    "hash_programs",
    "read_main_program",
    "read_programs",
    "read_record",
    "read_species",
    "write_record",
]

DEFINITIONS = "definitions"
"""Key of the programmes, as JSON, in ``uns["scdiff"]["call"]``."""


def read_record(adata: AnnData, name: str) -> Any:
    """Return ``uns["scdiff"][name]``; an empty mapping if it is missing."""
    return adata.uns.get("scdiff", {}).get(name, {})


def write_record(adata: AnnData, key: Key, value: Any) -> None:
    """Write ``value`` under ``key`` in ``uns["scdiff"]``."""
    adata.uns.setdefault("scdiff", {})[key.name] = value


def read_species(adata: AnnData) -> Species:
    """Return the species that ``load`` recorded, otherwise the one of the gene names, or human."""
    known = read_record(adata, "input").get("species", "unknown")
    if known in SPECIES:
        return known
    return detect_species(adata.var_names) or "human"


def as_text_array(sentences: Sequence[str]) -> np.ndarray:
    """Return sentences as an array that h5ad can hold, even if it is empty."""
    return np.array(list(sentences), dtype=object)


def dump_programs(programs: Iterable[Program]) -> str:
    """Return programmes as one JSON text, which every result file can hold."""
    return json.dumps(
        [program.model_dump(mode="json", exclude_defaults=True) for program in programs]
    )


def hash_programs(text: str) -> dict[str, str]:
    """Return the SHA-256 of each programme of a text of :func:`dump_programs`, by name.

    Texts for readers, as titles and sources, do not change the hash: they change no number.

    Raises
    ------
    ValueError
        If the text does not contain programmes.
    """
    try:
        return {
            str(program["name"]): hashlib.sha256(
                json.dumps(_drop_texts(program), sort_keys=True).encode()
            ).hexdigest()
            for program in json.loads(text)
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"these are not programmes ({error})") from None


def _drop_texts(part: Any) -> Any:
    """Return a definition without the texts for readers."""
    if isinstance(part, dict):
        return {name: _drop_texts(one) for name, one in part.items() if name not in _FOR_READERS}
    return [_drop_texts(one) for one in part] if isinstance(part, list) else part


_FOR_READERS = frozenset(
    {"title", "summary", "notes", "source", "expected", "scorecard", "direction"}
)
"""Fields of a programme that change the report and no number."""


@lru_cache(maxsize=4)  # the steps and sections of a run read the same programmes many times
def _parse_programs(text: str) -> dict[str, Program]:
    """Return the programmes of a text of :func:`dump_programs`, by name."""
    return {program.name: program for program in map(Program.model_validate, json.loads(text))}


def read_programs(adata: AnnData) -> dict[str, Program]:
    """Return the programmes of a run by name, as they were when the cells were called.

    A record of an older version has only their names and paths. These programmes are loaded again;
    a programme whose file is missing is left out.
    """
    record = read_record(adata, "call")
    if text := str(record.get(DEFINITIONS, "")):
        return dict(_parse_programs(text))
    found: dict[str, Program] = {}
    for name in [str(name) for name in record.get("programs", ())] or [""]:
        try:
            found |= {program.name: program for program in load_programs([name] if name else None)}
        except ScdiffError:
            continue
    return found


def read_main_program(adata: AnnData) -> Program:
    """Return the programme of the verdict.

    It is the first one that was called; before the calls, the first default programme.
    """
    name = str(read_record(adata, "call").get("main", DEFAULT_PROGRAMS[0]))
    return read_programs(adata).get(name) or load_program(name)


def find_positive_state(adata: AnnData, program: str) -> str:
    """Return the state that all positive cells of a programme share.

    Empty if the programme is unknown.
    """
    known = read_programs(adata).get(program)
    try:
        return (known or load_program(program)).positive
    except ScdiffError:
        return ""
