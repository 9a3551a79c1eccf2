"""Detect species other than human and mouse.

Ensembl ids decide if there are any, otherwise genes that only one species has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["foreign_species"]

_STABLE = re.compile(r"^(ENS[A-Z]*G(?=\d{6})|FBgn(?=\d{5})|WBGene(?=\d{5}))")

_PREFIXES = {
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

_KNOWN = ("ENSG", "ENSMUSG")
"""Prefixes of human and mouse."""

_OWN = {
    "human": re.compile(r"^(HLA-|LINC0\d|MIR\d+HG$)"),
    "mouse": re.compile(r"^(H2-[A-Z]|Gm\d{3,}$|[0-9A-Z]+Rik$)"),
    "rat": re.compile(r"^(RT1-|RGD\d{5,}|AABR0\d|LOC10(03|09|25)\d+$)"),
    "pig": re.compile(r"^SLA-"),
    "cow": re.compile(r"^BOLA($|-)"),
    "dog": re.compile(r"^DLA-"),
    "macaque": re.compile(r"^MAMU-", re.IGNORECASE),
    "horse": re.compile(r"^EQMHC"),
}
"""Names of genes that only one of these species has, mostly of the major histocompatibility
complex."""

_FEWEST_IDS = 10
"""Number of stable ids from which they decide on the species. Chosen, not tuned."""

_FEWEST_OWN = 3
"""Number of genes of only one species from which they decide on it. Chosen, not tuned."""


def foreign_species(names: Iterable[str], gene_ids: Iterable[str] = ()) -> str:
    """Return the species of the genes if it is not human or mouse, otherwise an empty string.

    The string is also empty if the species cannot be detected.

    >>> foreign_species([], [f"ENSRNOG{n:011d}" for n in range(20)])
    'rat'
    >>> foreign_species(["RT1-A1", "RT1-Ba", "RGD1559", "RGD15596", "Ins1"])
    'rat'
    >>> foreign_species(["INS", "HLA-A"]), foreign_species([], [f"ENSG{n:011d}" for n in range(20)])
    ('', '')
    """
    listed = list(names)
    ids = Counter(found.group(1) for name in (*gene_ids, *listed) if (found := _STABLE.match(name)))
    if sum(ids.values()) >= _FEWEST_IDS:
        prefix = max(ids, key=lambda one: ids[one])
        if prefix in _KNOWN:
            return ""
        return _PREFIXES.get(prefix, f"another species (ids {prefix}...)")
    own = {
        species: sum(bool(pattern.match(name)) for name in listed)
        for species, pattern in _OWN.items()
    }
    most = max(own, key=lambda species: own[species])
    return most if most not in ("human", "mouse") and own[most] >= _FEWEST_OWN else ""
