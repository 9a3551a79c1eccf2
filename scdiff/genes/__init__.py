"""Identify genes: species, symbols, other names in use, orthologs.

The small table ``names.csv`` has the human symbol, the mouse symbol and other names in use (protein
names, earlier symbols) of each gene. The tables of all genes (:mod:`scdiff.genes.table`) are read
only for a name that the small table does not have.
"""

from scdiff.genes.symbols import (
    Annotation,
    Lookup,
    annotation,
    canonical,
    detect_species,
    foreign_species,
    is_stable,
    ortholog,
    strip_version,
)

__all__ = [
    "Annotation",
    "Lookup",
    "annotation",
    "canonical",
    "detect_species",
    "foreign_species",
    "is_stable",
    "ortholog",
    "strip_version",
]
