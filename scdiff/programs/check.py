"""Check the file of a programme: genes found by species, levels, faults."""

from __future__ import annotations

from pathlib import Path

from scdiff.genes import SPECIES, Species, annotation
from scdiff.programs.program import Program

__all__ = ["describe_markers", "find_faults", "read_template"]


def read_template() -> str:
    """Return an annotated programme file to start from."""
    return (Path(__file__).parent / "template.txt").read_text(encoding="utf-8")


def describe_markers(program: Program) -> list[tuple[str, ...]]:
    """Return a table of the markers and sets: heading, then one row each.

    A row has the genes in each species and the level in counts per 10,000.
    """
    rows: list[tuple[str, ...]] = [("marker", *SPECIES, "level")]
    for marker in program.markers:
        level = marker.level_cp10k
        text = "learned from the batch" if level is None else f"{level:g} per 10,000"
        rows.append((marker.name, *(_list_genes(marker.genes(one)) for one in SPECIES), text))
    rows += [
        (chosen.name, *(_list_genes(chosen.genes(one)) for one in SPECIES), "set")
        for chosen in program.sets
    ]
    return rows


def _list_genes(genes: tuple[str, ...]) -> str:
    """List genes; a sentence if the species has no such gene."""
    return ", ".join(genes) or "no ortholog"


def find_faults(program: Program) -> list[str]:
    """Return a sentence for each gene that is not an approved symbol of its species.

    Genes of mouse and rat are checked only if the file states them: the others follow from the
    human ones.
    """
    return [
        sentence
        for entry in (*program.markers, *program.sets)
        for species in SPECIES
        for gene in getattr(entry, species)
        if (sentence := _explain_symbol(entry.name, gene, species))
    ]


def _explain_symbol(name: str, gene: str, species: Species) -> str:
    """Return a sentence about a symbol that is not approved; empty if it is."""
    known = annotation(species)
    if gene in known.approved:
        return ""
    meant = known.resolve(gene)
    advice = f"write {meant!r}" if meant else "correct the name, or leave the gene out"
    return f"{name}: {gene!r} is not an approved {species} symbol: {advice}."
