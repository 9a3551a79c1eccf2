"""The protocol of a validation.

What will be measured, and what the method must show, written down before any data are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from scdiff import __version__
from scdiff.batches.decide import Limits
from scdiff.bounded import parse_yaml, read_bytes, read_text
from scdiff.errors import ConfigError, InputError, UnknownNameError, did_you_mean
from scdiff.options import validate_options
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
"""Holds the hash of the protocol; written before any data are read."""

FOLDER = Path(__file__).parent / "protocols"

FIGURES = {
    "false_detections": "share of blanks in which positive cells are stated",
    "false_detections_interference": (
        "the same, of blanks with single-marker cells, debris or other lineages"
    ),
    "recovery": "mean measured of expected, of the level farthest from 1",
    "repeatability_cv": "CV of replicates, of the highest level",
    "within_laboratory_cv": "CV under all factors, of the highest level",
    "linearity": "largest deviation from the line, of what the line gives",
    "lob": "limit of blank by rank, a fraction",
    "lod": "limit of detection by probit, a fraction",
    "lod_of_claim": "limit of detection found, of the one printed",
    "loq": "limit of quantification by precision profile and total error, a fraction",
    "robustness": "mean measured of nominal, of the change farthest from 1",
    "expanded_uncertainty": (
        "expanded uncertainty (k = 2), of the result, at the highest level of the precision study"
    ),
    "detected_at_lod": "share of batches at or above the printed LOD that are detected",
    "quantified_at_lloq": "share of batches at or above the printed LLOQ that are quantified",
    "coverage": "share of intervals that hold the truth",
    "inconclusive": "share of batches that are inconclusive",
    "flow_slope": "slope against flow cytometry (Passing-Bablok)",
    "flow_bias": "mean difference from flow cytometry, a fraction",
}
"""Figures that a protocol may hold to a limit."""

_STRICT = ConfigDict(extra="forbid", frozen=True)

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Few = Annotated[int, Field(ge=1, le=10_000)]


class Acceptance(BaseModel):
    """One figure and its limits; ``judge`` as in a specification."""

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
        """What the figure is held to."""
        return Limits(
            self.at_least, self.at_most, by="estimate" if self.judge == "estimate" else "bound"
        )


class Sources(BaseModel):
    """Cells that batches are mixed from.

    Paths of any input of ``scdiff run``, relative to the protocol, or ``simulated``.
    """

    model_config = _STRICT

    negatives: str = "simulated"
    positives: str = "simulated"
    off_target: dict[str, str] = Field(default_factory=dict)
    positives_min_umi: float = Field(default=0, ge=0)
    positives_markers: int = Field(default=0, ge=0)


class Nominal(BaseModel):
    """Conditions of use.

    Cells, median UMI, soup, its share from positive cells, doublets, unfiltered matrix.

    Where the unfiltered matrix is given, its empty droplets say what the soup holds.
    """

    model_config = _STRICT

    cells: int = Field(default=3000, ge=100, le=1_000_000)
    depth: float = Field(default=4000, ge=100)
    soup: float = Field(default=0.05, ge=0, le=0.9)
    soup_share: Share = 0.1
    doublets: float = Field(default=0, ge=0, le=0.3)
    unfiltered: bool = True


class Blanks(BaseModel):
    """Blanks: shares of soup, replicates of each.

    Those at the nominal soup give the limit of blank, with ``more`` of them.
    """

    model_config = _STRICT

    soups: list[Annotated[float, Field(ge=0, le=0.9)]] = Field(
        default=[0.0, 0.02, 0.05, 0.1, 0.2], min_length=1
    )
    replicates: Few = 6
    more: int = Field(default=30, ge=0)


class Interference(BaseModel):
    """Blanks with cells that resemble positive ones, each as a share of the cells."""

    model_config = _STRICT

    single_marker: Share = 0.01
    debris: Share = 0.02
    off_target: Share = 0.05
    replicates: Few = 6


class Levels(BaseModel):
    """True fractions, and replicates of each."""

    model_config = _STRICT

    levels: list[OpenShare] = Field(min_length=1)
    replicates: Few = 8


class Detection(BaseModel):
    """Levels for the limit of detection, as multiples of what blanks print; replicates of each."""

    model_config = _STRICT

    of_lod: list[Annotated[float, Field(gt=0, le=20)]] = Field(
        default=[0.25, 0.4, 0.6, 0.8, 1.0, 1.4], min_length=3
    )
    replicates: Few = 15


class Precision(BaseModel):
    """Nested design.

    Days differ in the cells of the pools and in depth and soup, libraries in the cells drawn,
    replicates in counts.
    """

    model_config = _STRICT

    levels: list[OpenShare] = Field(min_length=1)
    days: int = Field(default=5, ge=2)
    libraries: int = Field(default=2, ge=1)
    replicates: int = Field(default=2, ge=1)
    depth_sd: float = Field(default=0.15, ge=0, le=1)
    soup_sd: float = Field(default=0.3, ge=0, le=1)


class Robustness(BaseModel):
    """Deliberate changes at one level.

    Cells and UMI of nominal, doublets, and each marker's counts as another annotation counts them.
    """

    model_config = _STRICT

    level: OpenShare = 0.05
    replicates: Few = 4
    cells: list[Annotated[float, Field(gt=0, le=10)]] = [0.5]
    depth: list[Annotated[float, Field(gt=0, le=1)]] = [0.5, 0.25]
    doublets: list[Annotated[float, Field(ge=0, le=0.3)]] = [0.08]
    annotation: list[Annotated[float, Field(gt=0, le=1)]] = [0.7]


class Protocol(BaseModel):
    """A protocol.

    Parameters
    ----------
    schema_version
        Of this layout: 1.
    name, version, title, author, effective
        Of the protocol.
    program
        Name of a shipped programme with markers, or path of a TOML file.
    kind
        ``in silico``: batches are mixed from cells of known kind. ``wet``: a sheet names measured
        samples with what is expected.
    sheet
        For ``wet``: csv with ``sample,path,expected,replicate,day,operator,lot`` and, where known,
        ``flow``; ``path`` is the folder of a finished run, or an input of one.
    sources, nominal, blanks, interference, recovery, detection, precision, robustness
        For ``in silico``.
    total_error
        Goal of the total error at the limit of quantification, of the level.
    seed
        Start of all random generators.
    acceptance
        What the method must show.
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
            raise ValueError("a wet protocol names its sheet, a protocol in silico does not")
        return self


@dataclass(frozen=True)
class Locked:
    """A protocol with its hash and where it lies, which its paths are relative to."""

    content: Protocol
    data: bytes
    origin: str
    folder: Path

    @property
    def sha256(self) -> str:
        """Hash of its bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def path(self, name: str) -> Path:
        """Path of a file that the protocol names."""
        return self.folder / name


def list_protocols() -> tuple[str, ...]:
    """Names of the shipped protocols, sorted.

    >>> list_protocols()
    ('standard',)
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_protocol(name: str | Path) -> Locked:
    """Read a protocol: the path of a YAML file, or the name of a shipped one.

    Raises
    ------
    UnknownNameError
        If it is neither.
    ConfigError
        If it cannot be read or breaks the schema.
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
        found: Any = parse_yaml(data.decode("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: the protocol cannot be read ({error.strerror or error})."
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: this is not a YAML text: {error}.") from None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path}: a protocol is a mapping with name, version, kind and acceptance."
        )
    content = validate_options(
        Protocol, {str(key): value for key, value in found.items()}, where=str(path)
    )
    return Locked(content, data, f"scdiff:{name}" if shipped else str(path), path.resolve().parent)  # type: ignore[arg-type]


def lock_protocol(protocol: Locked, out: Path) -> str:
    """Write the hash of a protocol into a folder, before any data are read.

    A folder serves one protocol.

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
                f"{content.name} {content.version}. "
                "Give a changed protocol a version, and a folder, of its own."
            )
        return known
    text = f"{head}locked: {datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ}\nscdiff: {__version__}\n"
    with replace_atomically(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return text
