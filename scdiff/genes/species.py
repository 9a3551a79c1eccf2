"""Detect the species of genes.

Ensembl ids decide if there are any, otherwise genes that only one species has, otherwise the
spelling of the symbols.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

__all__ = ["SPECIES", "Species", "detect_species", "foreign_species", "resolve_species"]

Species = Literal["human", "mouse", "rat"]
"""Species whose genes scdiff knows."""

SPECIES: tuple[Species, ...] = get_args(Species)

_STABLE = re.compile(r"^(ENS[A-Z]*G(?=\d{6})|FBgn(?=\d{5})|WBGene(?=\d{5}))", re.MULTILINE)

_PREFIXES = {
    "ENSG": "human",
    "ENSMUSG": "mouse",
    "ENSRNOG": "rat",
    "ENSSSCG": "pig",
    "ENSBTAG": "cow",
    "ENSOARG": "sheep",
    "ENSCHIG": "goat",
    "ENSECAG": "horse",
    "ENSOCUG": "rabbit",
    "ENSCAFG": "dog",
    "ENSFCAG": "cat",
    "ENSMMUG": "rhesus macaque",
    "ENSMFAG": "crab-eating macaque",
    "ENSPTRG": "chimpanzee",
    "ENSCJAG": "marmoset",
    "ENSPANG": "baboon",
    "ENSCPOG": "guinea pig",
    "ENSMAUG": "golden hamster",
    "ENSCGRG": "Chinese hamster",
    "ENSGALG": "chicken",
    "ENSDARG": "zebrafish",
    "ENSXETG": "frog",
    "ENSMODG": "opossum",
    "ENSMPUG": "ferret",
    "ENSHGLG": "naked mole-rat",
    "FBgn": "fruit fly",
    "WBGene": "worm",
}
"""Species by prefix of the stable ids of its genes.

Source: https://www.ensembl.org/info/genome/stable_ids/prefixes.html
"""

_OWN = {
    "human": r"HLA-|LINC0\d|MIR\d+HG$",
    "mouse": r"H2-[A-Z]|Gm\d{3,}$|[0-9A-Z]+Rik$",
    "rat": r"RT1-|Mt-(?:nd|co|atp|cyb)|RGD\d{5,}|AABR0\d|LOC10(?:03|09|25)\d+$",
    "pig": r"SLA-",
    "cow": r"BOLA(?:$|-)",
    "dog": r"DLA-",
    "macaque": r"(?i:MAMU-)",
    "horse": r"EQMHC",
}
"""Names of genes that only one of these species has, mostly of the major histocompatibility
complex."""

_OWN_GENE = re.compile(
    "^(?:" + "|".join(f"(?P<{species}>{names})" for species, names in _OWN.items()) + ")",
    re.MULTILINE,
)

_FEWEST_IDS = 10
"""Number of stable ids from which they decide on the species. Chosen, not tuned."""

_FEWEST_OWN = 3
"""Number of genes of only one species from which they decide on it. Chosen, not tuned."""

_SAMPLE = 5_000
"""Number of symbols whose spelling decides on the species. Chosen, not tuned."""

_LOWER = re.compile(r"^[A-Z][a-z0-9.\-]*[a-z][a-z0-9.\-]*$")


def foreign_species(names: Iterable[str], gene_ids: Iterable[str] = ()) -> str:
    """Return the species of the genes if scdiff does not know its genes, otherwise an empty string.

    The string is also empty if the species cannot be detected.

    >>> foreign_species([], [f"ENSSSCG{n:011d}" for n in range(20)])
    'pig'
    >>> foreign_species(["SLA-1", "SLA-DRA", "SLA-5", "INS"])
    'pig'
    >>> foreign_species(["INS", "HLA-A"]), foreign_species([], [f"ENSG{n:011d}" for n in range(20)])
    ('', '')
    """
    listed = list(names)
    found = _find_by_ids([*gene_ids, *listed]) or _find_by_own_genes(listed)
    return "" if found in SPECIES else found


def resolve_species(name: object) -> Species:
    """Return a species of the record if scdiff knows its genes, otherwise human.

    >>> resolve_species("rat"), resolve_species("unknown")
    ('rat', 'human')
    """
    return next((species for species in SPECIES if species == name), "human")


def detect_species(
    names: Iterable[str], gene_ids: Iterable[str] = (), *, likely: str = ""
) -> Species | None:
    """Detect the species from gene symbols or Ensembl ids; None if neither style is found.

    Most genes have the same symbol in mouse and rat. If nothing distinguishes the two, the species
    is rat if ``likely`` is rat, otherwise mouse.

    >>> detect_species(["COL1A1", "INS", "PDX1"]), detect_species(["Col1a1", "Ins1"])
    ('human', 'mouse')
    >>> detect_species(["Col1a1", "RT1-Da", "RT1-Ba", "Mt-nd1"])
    'rat'
    >>> detect_species(["1", "2"]) is None
    True
    """
    listed = list(names)
    by_ids = _find_by_ids([*gene_ids, *listed])
    if by_ids == "rat":
        return "rat"
    spelled = _find_by_spelling(listed[:_SAMPLE])
    if spelled != "mouse" or by_ids == "mouse":
        return spelled
    own = _find_by_own_genes(listed) or likely
    return "rat" if own == "rat" else "mouse"


def _find_by_spelling(names: Sequence[str]) -> Literal["human", "mouse"] | None:
    """Return mouse for symbols in lower case, human for capitals; None if neither is found."""
    mouse = sum(name.startswith("ENSMUSG") or bool(_LOWER.match(name)) for name in names)
    human = sum(
        name.startswith("ENSG0") or (name.isupper() and not name.startswith("ENS"))
        for name in names
    )
    if max(mouse, human) == 0:
        return None
    return "mouse" if mouse > human else "human"


def _find_by_ids(names: Iterable[str]) -> str:
    """Return the species of most stable ids; empty if there are too few ids."""
    ids = Counter(_STABLE.findall("\n".join(names)))  # one text: a tenth of the time
    if sum(ids.values()) < _FEWEST_IDS:
        return ""
    prefix = max(ids, key=lambda one: ids[one])
    return _PREFIXES.get(prefix, f"another species (ids {prefix}...)")


def _find_by_own_genes(names: Sequence[str]) -> str:
    """Return the species of most genes that only one species has; empty if there are too few."""
    own = Counter(found.lastgroup or "" for found in _OWN_GENE.finditer("\n".join(names)))
    if not own:
        return ""
    most = max(own, key=lambda species: own[species])
    return most if own[most] >= _FEWEST_OWN else ""
