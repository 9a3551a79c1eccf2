"""Read and lock the protocol of a validation.

The protocol states the measurements and the acceptance criteria before any data are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from scdiff import __version__
from scdiff.batches.decide import Limits
from scdiff.bounded import read_bytes, read_text
from scdiff.errors import ConfigError, InputError, UnknownNameError, did_you_mean
from scdiff.options import parse_document
from scdiff.storage.atomic import replace_atomically

__all__ = [
    "FIGURES",
    "LOCK",
    "Acceptance",
    "Locked",
    "Protocol",
    "list_protocols",
    "load_protocol",
    "lock_protocol",
]

LOCK = "protocol.lock"
"""File with the hash of the protocol; it is written before any data are read."""

FOLDER = Path(__file__).parent / "protocols"

FIGURES = {
    "false_detections": "share of blanks with detected positive cells",
    "false_detections_interference": (
        "the same for blanks with single-marker cells, debris or other lineages"
    ),
    "called_in_blanks": "mean share of the cells of all blanks that are called positive",
    "recovery": "mean measured / expected value, at the level farthest from 1",
    "repeatability_cv": "CV of replicates (repeatability), at the highest level",
    "within_laboratory_cv": (
        "CV over all factors (within-laboratory precision), at the highest level"
    ),
    "linearity": "largest deviation from the line, relative to the line",
    "lob": "limit of blank by rank, a fraction",
    "lod": "limit of detection by probit, a fraction",
    "lod_of_claim": "limit of detection found / limit of detection that the assay reports",
    "loq": "limit of quantification by precision profile and total error, a fraction",
    "robustness": "mean measured / expected value, at the change farthest from 1",
    "expanded_uncertainty": (
        "expanded uncertainty (k = 2), relative to the result, at the highest level of the "
        "precision study"
    ),
    "detected_at_lod": "share of batches at or above their reported LOD that are detected",
    "quantified_at_lloq": "share of batches at or above their reported LLOQ that are quantified",
    "coverage": "share of 95 % intervals that include the true value",
    "inconclusive": "share of batches that are inconclusive",
    "flow_slope": "slope against flow cytometry (Passing-Bablok)",
    "flow_bias": "mean difference from flow cytometry, a fraction",
}
"""Figures that a protocol may limit, with their meaning."""

_STRICT = ConfigDict(extra="forbid", frozen=True)

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Few = Annotated[int, Field(ge=1, le=10_000)]


class Acceptance(BaseModel):
    """An acceptance criterion: one figure and its limits; ``judge`` as in a specification."""

    model_config = _STRICT

    figure: str
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    judge: Literal["bound", "estimate", "not contradicted"] = "estimate"
    source: str = Field(default="field convention", min_length=3)

    @field_validator("figure")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in FIGURES:
            raise ValueError(f"unknown figure {value!r}. {did_you_mean(value, FIGURES)}")
        return value

    @model_validator(mode="after")
    def _has_limit(self) -> Acceptance:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least or at_most")
        return self

    @property
    def limits(self) -> Limits:
        """Limits of the figure."""
        return Limits(
            self.at_least, self.at_most, by="estimate" if self.judge == "estimate" else "bound"
        )


class Sources(BaseModel):
    """Sources of the cells from which batches are mixed.

    Each is the path of any input of ``scdiff run``, relative to the protocol, or ``simulated``.
    """

    model_config = _STRICT

    negatives: str = "simulated"
    positives: str = "simulated"
    off_target: dict[str, str] = Field(default_factory=dict)
    positives_min_umi: float = Field(default=0, ge=0)
    positives_markers: int = Field(default=0, ge=0)


class Nominal(BaseModel):
    """Nominal conditions of use.

    Number of cells, median UMI (``depth``), share of ambient RNA (``soup``), its share from
    positive cells, share of doublets, and whether the unfiltered matrix is available. The empty
    droplets of the unfiltered matrix show the composition of the ambient RNA.
    """

    model_config = _STRICT

    cells: int = Field(default=3000, ge=100, le=1_000_000)
    depth: float = Field(default=4000, ge=100)
    soup: float = Field(default=0.05, ge=0, le=0.9)
    soup_share: Share = 0.1
    doublets: float = Field(default=0, ge=0, le=0.3)
    unfiltered: bool = True


class Blanks(BaseModel):
    """Blanks: shares of ambient RNA (``soups``), and replicates of each.

    ``more`` further blanks under nominal conditions give the limit of blank.
    """

    model_config = _STRICT

    soups: list[Annotated[float, Field(ge=0, le=0.9)]] = Field(
        default=[0.0, 0.02, 0.05, 0.1, 0.2], min_length=1
    )
    replicates: Few = 6
    more: int = Field(default=30, ge=0)


class Interference(BaseModel):
    """Blanks with interfering cells: share of each kind, and replicates."""

    model_config = _STRICT

    single_marker: Share = 0.01
    debris: Share = 0.02
    off_target: Share = 0.05
    replicates: Few = 6


class Levels(BaseModel):
    """Levels (true fractions), and replicates of each."""

    model_config = _STRICT

    levels: list[OpenShare] = Field(min_length=1)
    replicates: Few = 8


class Detection(BaseModel):
    """Levels for the LoD, as multiples of the median LOD that blanks report; replicates of each."""

    model_config = _STRICT

    of_lod: list[Annotated[float, Field(gt=0, le=20)]] = Field(
        default=[0.25, 0.4, 0.6, 0.8, 1.0, 1.4], min_length=3
    )
    replicates: Few = 15


class Precision(BaseModel):
    """Nested design of the precision study.

    Days differ in the cells of the pools, in depth and in ambient RNA; libraries differ in the
    sampled cells; replicates differ in the counts.
    """

    model_config = _STRICT

    levels: list[OpenShare] = Field(min_length=1)
    days: int = Field(default=5, ge=2)
    libraries: int = Field(default=2, ge=1)
    replicates: int = Field(default=2, ge=1)
    depth_sd: float = Field(default=0.15, ge=0, le=1)
    soup_sd: float = Field(default=0.3, ge=0, le=1)


class Robustness(BaseModel):
    """Deliberate changes of the method at one level.

    Number of cells and UMI relative to nominal, share of doublets, and share of the marker counts
    that another annotation keeps.
    """

    model_config = _STRICT

    level: OpenShare = 0.05
    replicates: Few = 4
    cells: list[Annotated[float, Field(gt=0, le=10)]] = [0.5]
    depth: list[Annotated[float, Field(gt=0, le=1)]] = [0.5, 0.25]
    doublets: list[Annotated[float, Field(ge=0, le=0.3)]] = [0.08]
    annotation: list[Annotated[float, Field(gt=0, le=1)]] = [0.7]


class Protocol(BaseModel):
    """A validation protocol.

    Parameters
    ----------
    schema_version
        Version of this schema: 1.
    name, version, title, author, effective
        Identity of the protocol.
    program
        Name of a shipped programme with markers, or path of a TOML file.
    kind
        ``in silico``: batches are mixed from cells of known kind. ``wet``: a sheet lists measured
        samples with their expected values.
    sheet
        For ``wet``: a CSV file with ``sample,path,expected,replicate,day,operator,lot`` and
        optionally ``flow``; ``path`` is the folder of a finished run, or an input of one.
    sources, nominal, blanks, interference, recovery, detection, precision, robustness
        For ``in silico``.
    total_error
        Allowable total error at the limit of quantification, relative to the level.
    seed
        Seed of all random generators.
    acceptance
        Acceptance criteria of the method.
    """

    model_config = _STRICT

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
    title: str
    author: str = ""
    effective: date | None = None
    program: str = "pancreatic_progenitor"
    kind: Literal["in silico", "wet"]
    sheet: str | None = None
    sources: Sources = Sources()
    nominal: Nominal = Nominal()
    blanks: Blanks = Blanks()
    interference: Interference = Interference()
    recovery: Levels = Levels(levels=[0.01, 0.03, 0.1, 0.3])
    detection: Detection = Detection()
    precision: Precision = Precision(levels=[0.02, 0.1])
    robustness: Robustness = Robustness()
    total_error: float = Field(default=0.6, gt=0, le=2)
    seed: int = Field(default=0, ge=0)
    acceptance: list[Acceptance] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_data(self) -> Protocol:
        if (self.kind == "wet") != (self.sheet is not None):
            raise ValueError("a wet protocol must name its sheet, an in silico protocol must not")
        return self


@dataclass(frozen=True)
class Locked:
    """A protocol with its bytes, its origin, and the folder that its paths start from."""

    content: Protocol
    data: bytes
    origin: str
    folder: Path

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of the protocol."""
        return hashlib.sha256(self.data).hexdigest()

    def path(self, name: str) -> Path:
        """Return the path of a file that the protocol names."""
        return self.folder / name


def list_protocols() -> tuple[str, ...]:
    """Return the names of the shipped protocols, sorted.

    >>> list_protocols()
    ('standard',)
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_protocol(name: str | Path) -> Locked:
    """Read a protocol from the path of a YAML file, or by the name of a shipped protocol.

    Raises
    ------
    UnknownNameError
        If it is neither.
    ConfigError
        If it cannot be read, or does not match the schema.
    """
    shipped = str(name) in list_protocols()
    path = FOLDER / f"{name}.yaml" if shipped else Path(name)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise UnknownNameError(
            f"unknown protocol {str(name)!r}. {did_you_mean(str(name), list_protocols())} "
            "Or give the path of a YAML file."
        )
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: the protocol cannot be read ({error.strerror or error})."
        ) from None
    rule = "a protocol must be a mapping with name, version, kind and acceptance."
    content = parse_document(Protocol, data, where=str(path), rule=rule)
    return Locked(content, data, f"scdiff:{name}" if shipped else str(path), path.resolve().parent)


def lock_protocol(protocol: Locked, out: Path) -> str:
    """Write the hash of a protocol into a folder, before any data are read.

    A folder can have only one protocol.

    Parameters
    ----------
    protocol
        The protocol.
    out
        Folder of the validation.

    Returns
    -------
    The text of the lock.

    Raises
    ------
    ConfigError
        If the folder is locked for another protocol, or for other content under the same version.
    InputError
        If the lock cannot be read.
    """
    path, content = out / LOCK, protocol.content
    head = f"sha256: {protocol.sha256}\nprotocol: {content.name} {content.version}\n"
    if path.exists():
        try:
            known = read_text(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}).") from None
        if not known.startswith(head):
            raise ConfigError(
                f"{path}: this folder is locked for another protocol, or for other content of "
                f"{content.name} {content.version}. Give a changed protocol a new version and a "
                "new folder."
            )
        return known
    text = f"{head}locked: {datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ}\nscdiff: {__version__}\n"
    with replace_atomically(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return text
