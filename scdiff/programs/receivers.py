"""Receiver profiles: share of cells of another tissue in which a gene of the axes is detected.

``receivers.csv`` has the packaged profiles, numbers only; ``tests/benchmarks/make_receivers.py``
counted them. A file of the user has the same columns; the last three may be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scdiff.bounded import MOST_TABLE_BYTES, format_value, read_text
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean
from scdiff.genes import canonical
from scdiff.programs import Species
from scdiff.programs.axes import symbol_in

__all__ = ["COLUMNS", "Receiver", "Seen", "load_receivers", "receiver_names"]

FEWEST_CELLS = 30
"""A packaged profile of fewer cells is used only where it is named."""

REQUIRED = ("receiver", "species", "gene", "n_cells", "n_expressing")
COLUMNS = (*REQUIRED, "background", "counted", "source")


class Seen(BaseModel):
    """One gene in one receiver, a line of the table.

    Parameters
    ----------
    receiver, species, gene
        Name of the cell type, species of the cells, symbol in that species.
    n_cells, n_expressing
        Cells, and those with a count above 0.
    background
        Largest share of cells in which contamination alone could show the gene, 0-1; None if it is
        unknown.
    counted
        ``UMI`` or ``reads``, and how.
    source
        DOI of the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    receiver: str = Field(min_length=1)
    species: Species
    gene: str = Field(min_length=1)
    n_cells: int = Field(ge=1)
    n_expressing: int = Field(ge=0)
    background: float | None = Field(default=None, ge=0, le=1)
    counted: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Seen:
        if self.n_expressing > self.n_cells:
            raise ValueError(
                f"n_expressing is {self.n_expressing}, more than the {self.n_cells} cells"
            )
        return self


@dataclass(frozen=True)
class Receiver:
    """A cell type that may receive what the batch sends.

    Parameters
    ----------
    name
        Name of the cell type.
    species
        Species of its cells.
    genes
        What was counted, by symbol in that species.
    """

    name: str
    species: Species
    genes: Mapping[str, Seen]

    @property
    def n_cells(self) -> int:
        """Cells of the profile, the most of any gene."""
        return max(seen.n_cells for seen in self.genes.values())

    def read(self, human: str) -> tuple[str, Seen | None]:
        """Return the symbol of a human gene in the receiver's species, and its counts.

        The counts are None if the gene has no row.
        """
        symbol = symbol_in(human, self.species)
        return symbol, self.genes.get(symbol)


def receiver_names() -> tuple[str, ...]:
    """Return the names of the packaged profiles.

    >>> {"islet_beta", "endothelium", "t_cell", "monocyte"} <= set(receiver_names())
    True
    """
    return tuple(dict.fromkeys(receiver.name for receiver in _packaged()))


def load_receivers(names: Sequence[str], species: Species) -> tuple[Receiver, ...]:
    """Load packaged profiles by name, or all profiles of a CSV file by its path.

    If a name exists for both species, that of the batch is loaded.

    Parameters
    ----------
    names
        Names or paths; if empty, all packaged profiles of 30 cells or more.
    species
        Of the batch.

    Raises
    ------
    UnknownNameError
        If no profile has this name.
    ConfigError
        If a file cannot be read or has faults, or a name occurs twice.

    >>> [receiver.name for receiver in load_receivers(["t_cell"], "human")]
    ['t_cell']
    """
    if not names:
        return tuple(
            receiver
            for receiver in _nearest(_packaged(), species)
            if receiver.n_cells >= FEWEST_CELLS
        )
    found = tuple(receiver for name in names for receiver in _nearest(_named(name), species))
    seen = [receiver.name for receiver in found]
    if len(set(seen)) < len(seen):
        raise ConfigError(
            f"communicate(): two receivers share a name: {', '.join(seen)}. "
            "Each name may be used once."
        )
    return found


def _nearest(receivers: Sequence[Receiver], species: Species) -> tuple[Receiver, ...]:
    """One profile of each name, of the wanted species if there is one; for rat, then of mouse."""
    near = ("rat", "mouse") if species == "rat" else (species,)
    ordered = sorted(receivers, key=lambda one: (*near, one.species).index(one.species))
    best = {receiver.name: receiver for receiver in reversed(ordered)}
    return tuple(best[name] for name in dict.fromkeys(receiver.name for receiver in receivers))


def _packaged() -> tuple[Receiver, ...]:
    """Read the packaged profiles."""
    return _read(Path(str(resources.files("scdiff.programs") / "receivers.csv")))


def _named(name: str) -> tuple[Receiver, ...]:
    """Profiles of a file, or the packaged ones of one name."""
    if name.endswith(".csv"):
        return _read(Path(name))
    if name not in receiver_names():
        hint = did_you_mean(name, receiver_names())
        raise UnknownNameError(
            f"communicate(): unknown receiver {name!r}. {hint} Or give the path of a .csv file."
        )
    return tuple(receiver for receiver in _packaged() if receiver.name == name)


def _read(path: Path) -> tuple[Receiver, ...]:
    """Read the profiles of a file, in their order."""
    try:
        text = read_text(path, MOST_TABLE_BYTES, encoding="utf-8-sig")
        rows = list(_rows(path, csv.DictReader(text.splitlines(keepends=True))))
    except OSError as error:
        raise ConfigError(f"{path}: the receiver file cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: this is not a CSV text: {error}.") from None
    if not rows:
        raise ConfigError(
            f"{path}: the receiver file has no row: give one line for every receiver and gene."
        )
    groups: dict[tuple[str, Species], dict[str, Seen]] = {}
    for seen in rows:
        genes = groups.setdefault((seen.receiver, seen.species), {})
        gene = canonical(seen.gene, seen.species)
        if gene in genes:
            raise ConfigError(
                f"{path}: {seen.receiver} ({seen.species}) has two rows for {gene}; give one."
            )
        genes[gene] = seen
    return tuple(Receiver(name, species, genes) for (name, species), genes in groups.items())


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[Seen]:
    """Check the header, then every line."""
    header = [str(name).strip() for name in reader.fieldnames or ()]
    for name in header:
        if name not in COLUMNS:
            raise ConfigError(f"{path}: unknown column {name!r}. {did_you_mean(name, COLUMNS)}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise ConfigError(
            f"{path}: column {missing[0]!r} is missing; "
            f"a receiver file has the columns {', '.join(REQUIRED)}."
        )
    reader.fieldnames = header
    for number, row in enumerate(reader, start=2):
        yield _checked(f"{path}: line {number}", row)


def _checked(where: str, row: Mapping[Any, Any]) -> Seen:
    """Turn one line into a checked entry."""
    if None in row or None in row.values():
        raise ConfigError(f"{where}: the line has more or fewer fields than the header.")
    try:
        return Seen.model_validate(
            {name: value.strip() for name, value in row.items() if value.strip()}
        )
    except ValidationError as error:
        fault = error.errors()[0]
        name = f"{fault['loc'][0]} " if fault["loc"] else ""
        given = (
            f"is {format_value(fault['input'])}: "
            if fault["loc"] and fault["type"] != "missing"
            else ""
        )
        raise ConfigError(
            f"{where}: {name}{given}{fault['msg'].removeprefix('Value error, ')}."
        ) from None
