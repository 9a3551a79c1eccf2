"""What can go wrong, as one small tree; every error knows its exit code.

::

    ScdiffError                 1
    ├── ConfigError             2   an option, a configuration file, a sample sheet
    ├── UnknownNameError        2   a name that nothing is registered under
    ├── ProgramError            2   a programme file that breaks the schema
    ├── InputError              3   data that cannot be what they claim to be
    ├── MissingKeyError         4   a step was called before the step it needs (also a KeyError)
    └── OutputError             5   a place that cannot be written
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "InputError",
    "MissingKeyError",
    "OutputError",
    "ProgramError",
    "ScdiffError",
    "UnknownNameError",
    "did_you_mean",
]


class ScdiffError(Exception):
    """Root of all errors that scdiff raises on purpose."""

    exit_code = 1


class ConfigError(ScdiffError):
    """An option, a configuration file or a sample sheet is not usable."""

    exit_code = 2


class UnknownNameError(ScdiffError):
    """A name that nothing is registered under."""

    exit_code = 2


class ProgramError(ScdiffError):
    """A programme file breaks the schema."""

    exit_code = 2


class InputError(ScdiffError):
    """Data that cannot be what they claim to be."""

    exit_code = 3


class MissingKeyError(ScdiffError, KeyError):
    """A step was called before the step that writes what it reads."""

    exit_code = 4

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr


class OutputError(ScdiffError):
    """A place that cannot be written."""

    exit_code = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End a sentence about an unknown ``name`` with the near match and all known names.

    >>> did_you_mean("min_gene", ["min_genes", "seed"])
    "Did you mean 'min_genes'? Known: min_genes, seed."
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(names) or 'nothing'}."
