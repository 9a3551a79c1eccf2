"""Gene identity: species, symbols, the names people write, orthologs.

The small table ``names.csv`` holds, per gene, the human and the mouse symbol and every other
name in use (protein names, earlier symbols). Behind it stand the tables of all genes (:mod:`scdiff.genes.table`),
which are read only when a name is asked for that the small one does not have.
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
