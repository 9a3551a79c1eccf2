"""Identify genes: species, symbols, other names in use, orthologs.

The small table ``names.csv`` has the symbols of each gene in human, mouse and rat, and other names
in use (protein names, earlier symbols). The tables of all genes (:mod:`scdiff.genes.table`) are
read only for a name that the small table does not have.
"""

from scdiff.genes.species import (
    SPECIES,
    Species,
    detect_species,
    foreign_species,
    resolve_species,
)
from scdiff.genes.symbols import Lookup, canonical, is_stable, ortholog, strip_version
from scdiff.genes.table import Annotation, annotation

__all__ = [
    "SPECIES",
    "Annotation",
    "Lookup",
    "Species",
    "annotation",
    "canonical",
    "detect_species",
    "foreign_species",
    "is_stable",
    "ortholog",
    "resolve_species",
    "strip_version",
]
