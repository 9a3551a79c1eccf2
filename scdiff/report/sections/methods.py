"""Section: versions, options, input files and repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.section import SECTIONS, Section, Table
from scdiff.report.versions import versions

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "methods",
    summary="Versions, options and input files.",
    source="field convention",
    facts={"title": "Methods", "reads": (keys.INPUT,)},
)
def methods(adata: AnnData) -> Section:
    """Show everything that is needed to get the same result again.

    Reads
    -----
    ``uns["scdiff"]["input"]``, ``uns["scdiff"]["run"]``
    """
    import pandas as pd

    record, run = adata.uns[keys.ROOT][keys.INPUT.name], adata.uns[keys.ROOT].get("run", {})
    options = _list_options(run.get("options", {}))
    software = pd.DataFrame(versions(adata).items(), columns=["package", "version"])
    tables = [Table("versions.csv", software, "Versions of the software.")]
    if len(options):
        caption = "All options of all steps, as this run used them."
        tables.insert(0, Table("options.csv", options, caption))
    if "files" in record:
        files = record["files"].rename_axis("sample").reset_index()
        tables.insert(0, Table("input_files.csv", files, "Input files with their SHA-256 hashes."))
    return Section(
        "Methods",
        "methods",
        f"Species: {record.get('species', 'unknown')}. Values: "
        f"{record.get('technology', 'unknown')}. Calls use raw counts and depth only, never "
        "normalised, smoothed or integrated values. The same input, options and seed give the same "
        "result.",
        tables=tuple(tables),
        notes=_list_notes(record, options),
    )


def _list_options(texts: dict[str, Any]) -> pd.DataFrame:
    """Convert the YAML text of each step to rows of step, option and value."""
    import pandas as pd
    import yaml

    order = ["load", *keys.READS]
    places = {step: place for place, step in enumerate(order)}
    steps = sorted(texts, key=lambda step: (places.get(step, len(order)), step))
    rows = [
        (step, name, _format_value(value))
        for step in steps
        for name, value in _split_items(yaml.safe_load(str(texts[step])))
    ]
    return pd.DataFrame(rows, columns=["step", "option", "value"])


def _split_items(options: Any) -> list[tuple[str, Any]]:
    """Return the pairs of a mapping; a value that is not a mapping is one pair without a name."""
    if isinstance(options, dict):
        return [(str(name), value) for name, value in options.items()]
    return [] if options is None else [("", options)]


def _format_value(value: Any) -> str:
    """Format the value of an option."""
    if value is None:
        return "not set"
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _list_notes(record: dict[str, Any], options: pd.DataFrame) -> tuple[str, ...]:
    """Return repairs and notes of the input, and what was not recorded."""
    notes = [f"Repaired: {text}" for text in record.get("repairs", ())]
    notes += [str(text) for text in record.get("notes", ())]
    if not len(options):
        notes.append("The options were not recorded, because the steps were called one by one.")
    return tuple(notes)
