"""Write a programme as TOML that :func:`scdiff.programs.load_program` reads."""

from __future__ import annotations

import json
from typing import Any

from scdiff.programs.program import Program

__all__ = ["format_program"]


def format_program(program: Program) -> str:
    """Return a programme as TOML; fields with their default value are left out.

    >>> from scdiff.programs import load_program
    >>> print(format_program(load_program("vegf")).splitlines()[0])
    name = "vegf"
    """
    content = program.model_dump(mode="json", exclude_defaults=True)
    plain = {name: value for name, value in content.items() if not _is_table(value)}
    lines = [f"{name} = {_format_value(value)}" for name, value in plain.items()]
    for name, entries in content.items():
        if name not in plain:
            for entry in entries:
                lines += ["", f"[[{name}]]"]
                lines += [f"{field} = {_format_value(value)}" for field, value in entry.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    """Check whether a value is a list of entries."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _format_value(value: Any) -> str:
    """Format a value: JSON and TOML write texts, numbers, truth values and lists the same way.

    TOML allows no control character DEL in a text, which JSON does.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
