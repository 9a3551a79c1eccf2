"""Define every key that scdiff writes into an AnnData: slot, name, dtype, meaning and writer.

Only this module defines these names, and the steps use them. A test compares the keys with what the
steps write. :func:`require` reports a missing key and the step to run first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scdiff.errors import MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "INSTEAD",
    "KEYS",
    "READS",
    "ROOT",
    "Key",
    "has",
    "is_prepared",
    "list_written",
    "reads_cells",
    "refuse_overwriting",
    "require",
    "slot_of",
]

ROOT = "scdiff"
"""Entry of ``uns`` that holds what scdiff records."""


@dataclass(frozen=True)
class Key:
    """One entry of an AnnData that a step writes.

    Parameters
    ----------
    slot
        ``X``, ``layers``, ``obs``, ``var``, ``obsm``, ``obsp``, ``uns`` (for ``uns["scdiff"]``), or
        ``palette`` (for ``uns`` itself, where scanpy reads colours).
    name
        The key in that slot; empty for ``X``.
    dtype
        Kind of the values: ``int``, ``float``, ``bool``, ``category``, ``str``, ``dict``,
        ``frame``.
    meaning
        Content, with unit or range.
    writer
        Step that writes it.
    """

    slot: str
    name: str
    dtype: str
    meaning: str
    writer: str

    def __str__(self) -> str:
        if self.slot == "X":
            return "X"
        places = {"uns": f'uns["scdiff"]["{self.name}"]', "palette": f'uns["{self.name}"]'}
        return places.get(self.slot, f'{self.slot}["{self.name}"]')


COUNTS = Key("layers", "counts", "int", "UMI (or read) counts per cell and gene", "load")
SAMPLE = Key("obs", "sample", "category", "sample the cell belongs to", "load")
CONTROL = Key("obs", "control", "bool", "cell of a declared control sample", "load")
GENE_ID = Key(
    "var", "gene_id", "str", "stable gene identifier, or the symbol if it is unknown", "load"
)
NAME_IN_FILE = Key(
    "var",
    "name_in_file",
    "str",
    "name of the gene in the first file, before it was replaced by the approved symbol",
    "load",
)
INPUT = Key(
    "uns",
    "input",
    "dict",
    "files with hashes, species, repairs, technology, absent markers",
    "load",
)

PREPARED = Key(
    "uns",
    "prepared",
    "dict",
    "options of pp.prepare and the matrix that it used, for an object in memory",
    "prepare",
)
DEPTH = Key(
    "obs",
    "scdiff_depth",
    "float",
    "counts per cell that pp.prepare verified; later steps compare with it",
    "prepare",
)

TOTAL_COUNTS = Key("obs", "total_counts", "float", "counts per cell", "qc")
N_GENES = Key("obs", "n_genes_by_counts", "int", "genes with a count above 0 per cell", "qc")
PERCENT_MITO = Key(
    "obs",
    "pct_counts_mt",
    "float",
    "percent of counts from mitochondrial genes, NaN without such genes",
    "qc",
)
DOUBLET_SCORE = Key(
    "obs", "doublet_score", "float", "scrublet score, 0-1, NaN where not computable", "qc"
)
PREDICTED_DOUBLET = Key("obs", "predicted_doublet", "bool", "scrublet call", "qc")
QC = Key("uns", "qc", "dict", "cells by sample and reason dropped, thresholds, notes", "qc")

LOGNORM = Key("X", "", "float", "ln(1 + counts per 10,000)", "normalise")
NORMALISE = Key(
    "uns", "normalise", "dict", "target_sum: counts per cell after scaling", "normalise"
)

HVG = Key("var", "highly_variable", "bool", "gene used for the embedding", "embed")
PCA = Key("obsm", "X_pca", "float", "principal components", "embed")
UMAP = Key("obsm", "X_umap", "float", "two-dimensional map, for viewing only", "embed")
LEIDEN = Key("obs", "leiden", "category", "cluster", "embed")
SKETCH = Key(
    "obs",
    "scdiff_sketch",
    "bool",
    "cell of the neighbour graph: all up to 100,000, a random sample of more",
    "embed",
)
CONNECTIVITIES = Key("obsp", "connectivities", "float", "neighbour graph weights, 0-1", "embed")
DISTANCES = Key("obsp", "distances", "float", "neighbour distances in PCA space", "embed")

SCORE = Key("obsm", "scdiff_score", "frame", "cells x '<programme>:<method>', unitless", "score")

EVIDENCE = Key(
    "obsm",
    "scdiff_evidence",
    "frame",
    "cells x '<programme>:<marker>', ln likelihood ratio expressed : not expressed, NaN if absent",
    "call",
)
PROBABILITIES = Key(
    "obsm",
    "scdiff_probabilities",
    "frame",
    "cells x programmes, probability of the state, 0-1, or NaN",
    "call",
)
POSITIVE = Key("obsm", "scdiff_positive", "frame", "cells x programmes, called positive", "call")
P_VALUE = Key(
    "obsm",
    "scdiff_p_value",
    "frame",
    "cells x programmes, empirical p-value against genes of similar abundance, 0-1, or NaN",
    "call",
)
STATE = Key("obs", "scdiff_state", "category", "sub-state by the main programme's rules", "call")
STATE_COLOURS = Key(
    "palette",
    "scdiff_state_colors",
    "str",
    "colour of each category of scdiff_state, in their order",
    "call",
)
PROBABILITY = Key(
    "obs", "scdiff_probability", "float", "probability of the main programme's state, 0-1", "call"
)
CALL = Key(
    "uns",
    "call",
    "dict",
    "per programme: markers found and absent, background, fit, options",
    "call",
)

PSEUDOTIME = Key(
    "obs",
    "dpt_pseudotime",
    "float",
    "diffusion pseudotime, 0-1 within the root's component, NaN elsewhere",
    "trajectory",
)
PSEUDOTIME_LOW = Key(
    "obs",
    "dpt_pseudotime_low",
    "float",
    "lowest value over roots in the root's cluster, 0-1 or NaN",
    "trajectory",
)
PSEUDOTIME_HIGH = Key(
    "obs",
    "dpt_pseudotime_high",
    "float",
    "highest value over roots in the root's cluster, 0-1 or NaN",
    "trajectory",
)
POSITION = Key(
    "obs",
    "scdiff_position",
    "float",
    "0 at the start, 1 at the progenitor-like end, NaN without an end",
    "trajectory",
)
FATE = Key(
    "obs",
    "scdiff_fate",
    "float",
    "probability of the progenitor-like end, 0-1 or NaN",
    "trajectory",
)
COMPONENT = Key(
    "obs",
    "scdiff_component",
    "category",
    "connected component of the neighbour graph, largest first",
    "trajectory",
)
TRAJECTORY = Key(
    "uns",
    "trajectory",
    "dict",
    "root, components, paga, ends, fates by sample, verdict, gap, committed fraction",
    "trajectory",
)

FRACTIONS = Key(
    "uns",
    "fractions",
    "frame",
    "the table of fractions, one row per programme, state and sample",
    "fraction",
)
DONORS = Key(
    "uns",
    "donors",
    "dict",
    "frames variation (a row per programme) and values (a row per programme and donor)",
    "fraction",
)
AXES = Key(
    "uns",
    "axes",
    "frame",
    "ligand-receptor values, one row per axis, side, gene and sample or receiver",
    "communicate",
)
INTERACTIONS = Key(
    "uns",
    "interactions",
    "frame",
    "ranks by liana for all pairs of groups; empty without groups",
    "communicate",
)

COMPARISON = Key(
    "uns",
    "comparison",
    "frame",
    "two groups of donors compared, percentage points, one row per state",
    "compare",
)

DOSE = Key(
    "uns", "dose", "frame", "expected cells of a dose, one row per row of the fractions", "report"
)

RUN = Key("uns", "run", "dict", "options of every step, versions, seconds", "pipeline")

KEYS: tuple[Key, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Key))

READS: dict[str, tuple[Key, ...]] = {
    "qc": (COUNTS, SAMPLE),
    "normalise": (COUNTS,),
    "embed": (LOGNORM,),
    "score": (COUNTS, LOGNORM),
    "call": (COUNTS, SAMPLE, INPUT),
    "trajectory": (
        COUNTS,
        SAMPLE,
        INPUT,
        LOGNORM,
        HVG,
        CONNECTIVITIES,
        DISTANCES,
        PCA,
        LEIDEN,
        STATE,
        PROBABILITY,
    ),
    "fraction": (COUNTS, SAMPLE, INPUT, CALL, EVIDENCE, POSITIVE, STATE),
    "communicate": (COUNTS, SAMPLE, INPUT),
    "compare": (SAMPLE, FRACTIONS),
    "dose": (FRACTIONS,),
    "panel": (COUNTS, INPUT),
    "report": (COUNTS, SAMPLE, INPUT, STATE, FRACTIONS),
}

INSTEAD: dict[str, dict[str, tuple[Key, ...]]] = {
    "trajectory": {"cluster_key": (LEIDEN,), "use_rep": (PCA, HVG, CONNECTIVITIES, DISTANCES)},
}
"""Per step: option -> keys that the step does not read if the option names a replacement."""


FIRST = "run scdiff.pp.prepare(adata) first, or load files with scdiff.io.load"
"""Instruction for an object that scdiff has not prepared."""


def has(adata: AnnData, key: Key) -> bool:
    """Check whether ``adata`` holds ``key``.

    It holds ``X`` if X is log-normalised or can be computed from the counts.
    """
    if key.slot == "X":
        return "log1p" in adata.uns and (adata.X is not None or has(adata, NORMALISE))
    if key.slot == "uns":
        return key.name in adata.uns.get(ROOT, {})
    return key.name in slot_of(adata, key.slot)


def slot_of(adata: AnnData, slot: str) -> Any:
    """Return the mapping that holds the keys of a slot.

    It is ``uns["scdiff"]`` for ``uns``, and ``uns`` itself for ``palette``.
    """
    if slot == "uns":
        return adata.uns.setdefault(ROOT, {})
    return adata.uns if slot == "palette" else getattr(adata, slot)


def is_prepared(adata: object) -> bool:
    """Check whether :func:`scdiff.pp.prepare` prepared an object."""
    return PREPARED.name in getattr(adata, "uns", {}).get(ROOT, {})


def reads_cells(step: str) -> bool:
    """Check whether a step reads more than the record in ``uns``."""
    return any(key.slot != "uns" for key in READS.get(step, ()))


def require(adata: AnnData, step: str, named: Collection[str] = ()) -> None:
    """Raise an error if a key that ``step`` reads is missing.

    ``named`` are the options that the caller gave; they can replace keys.

    Raises
    ------
    MissingKeyError
        If a key is missing; the message states the first one and the step that writes it.
    """
    instead = INSTEAD.get(step, {})
    spared = {key for option in named for key in instead.get(option, ())}
    for key in READS.get(step, ()):
        if key not in spared and not has(adata, key):
            before = FIRST if key.writer == "load" else f"run {key.writer} first"
            before += "".join(
                f", or name your own with {option}"
                for option, replaced in instead.items()
                if key in replaced
            )
            raise MissingKeyError(
                f"{step} reads {key} ({key.meaning}), which is not in the object: {before}."
            )


def refuse_overwriting(adata: AnnData, step: str) -> None:
    """Raise an error if a step would overwrite something that scdiff did not write.

    This concerns objects that scdiff has not loaded or prepared.

    Raises
    ------
    MissingKeyError
        If something would be overwritten; the message states it and what to do.
    """
    lost = [
        str(key)
        for key in list_written(step)
        if key.slot != "uns" and not key.name.startswith("scdiff_") and has(adata, key)
    ]
    if lost and not any(has(adata, key) for key in KEYS if key.slot == "uns"):
        raise MissingKeyError(
            f"{step} would overwrite {', '.join(lost)}, which scdiff did not write: run "
            "scdiff.pp.prepare(adata) first. Then the names of all results start with scdiff."
        )


def list_written(step: str) -> tuple[Key, ...]:
    """List all keys that ``step`` writes."""
    return tuple(key for key in KEYS if key.writer == step)
