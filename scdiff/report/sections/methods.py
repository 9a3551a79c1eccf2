"""Section: versions, options, input files, what was repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.section import SECTIONS, Section, Table
from scdiff.report.versions import versions

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "methods", summary="How the result came about.", source="field convention", facts={"title": "Methods", "reads": (keys.INPUT,)}
)
def methods(adata: AnnData) -> Section:
    """Show all that is needed to get the same result again.

    Reads
    -----
    ``uns["scdiff"]["input"]``, ``uns["scdiff"]["run"]``
    """
    import pandas as pd

    given, run = adata.uns["scdiff"]["input"], adata.uns["scdiff"].get("run", {})
    options = _options(run.get("options", {}))
    software = pd.DataFrame(versions(adata).items(), columns=["package", "version"])
    tables = [Table("versions.csv", software, "Versions of the software.")]
    if len(options):
        tables.insert(0, Table("options.csv", options, "Every option of every step, as resolved."))
    if "files" in given:
        tables.insert(
            0, Table("input_files.csv", given["files"].rename_axis("sample").reset_index(), "Input files with their SHA-256 hashes.")
        )
    return Section(
        "Methods",
        "methods",
        f"Species: {given.get('species', 'unknown')}. Values: {given.get('technology', 'unknown')}. Calls are made "
        "from raw counts and depth only, never from normalised, smoothed or integrated values; "
        "same input, options and seed give the same result.",
        tables=tuple(tables),
        notes=_notes(given, options),
    )


def _options(texts: dict[str, Any]) -> pd.DataFrame:
    """Lay out the YAML text of each step as rows step, option, value."""
    import pandas as pd
    import yaml

    order = ["load", *keys.READS]
    steps = sorted(texts, key=lambda step: (order.index(step) if step in order else len(order), step))
    parsed = {step: yaml.safe_load(str(texts[step])) for step in steps}
    rows = [(step, name, _said(value)) for step, options in parsed.items() for name, value in _items(options)]
    return pd.DataFrame(rows, columns=["step", "option", "value"])


def _items(options: Any) -> list[tuple[str, Any]]:
    """Pairs of a mapping; one nameless pair for anything else but nothing."""
    if isinstance(options, dict):
        return [(str(name), value) for name, value in options.items()]
    return [] if options is None else [("", options)]


def _said(value: Any) -> str:
    """Say an option's value."""
    if value is None:
        return "not set"
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _notes(given: dict[str, Any], options: pd.DataFrame) -> tuple[str, ...]:
    """Repairs and notes of the input, and what was not recorded."""
    repairs = tuple(f"Repaired: {text}" for text in given.get("repairs", ()))
    unsaid = () if len(options) else ("The options were not recorded: the steps were called by hand.",)
    return (*repairs, *(str(text) for text in given.get("notes", ())), *unsaid)
