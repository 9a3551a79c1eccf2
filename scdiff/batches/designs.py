"""Design the batches of an in silico study, and mix them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.batches.pools import Pool, Pools, as_object
from scdiff.batches.protocol import Nominal, Protocol
from scdiff.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Batch", "Design", "detection_designs", "make_batch", "plan_designs"]

PLAIN, SINGLE_MARKER, DEBRIS = "plain", "single-marker cells", "debris of positive cells"
"""Kinds of negative cells in a batch; other names are lineages of the protocol."""

DEBRIS_SHARE = 0.05
"""Share of the counts of a positive cell in a droplet with debris, 0-1; chosen, not tuned."""

EMPTY_COUNTS = 200_000
"""Total counts of the empty droplets of a batch; chosen, not tuned."""

LIBRARY_DEPTH = 2.0
"""Counts of a library, relative to the counts of one replicate of it.

Each replicate is a random half of the library, so replicates share cells but not counts.
"""


@dataclass(frozen=True)
class Design:
    """The design of one batch.

    Parameters
    ----------
    section
        Section of the study.
    fraction
        True fraction of positive cells in the suspension, 0-1.
    nominal
        Cells, depth, ambient RNA and doublets.
    seed
        Seed of the random generator.
    condition
        Description of what is not nominal.
    background
        Kind of the negative cells: plain, or plain with a share of interfering cells.
    share
        Share of the interfering cells, 0-1.
    kept
        Share of the counts of each marker that is kept, 0-1. A value below 1 imitates an annotation
        that lacks a part of the gene.
    labels
        Day, library and replicate of a nested design.
    """

    section: str
    fraction: float
    nominal: Nominal
    seed: int
    condition: str = ""
    background: str = PLAIN
    share: float = 0.0
    kept: float = 1.0
    labels: Mapping[str, int] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the first columns of the row of this batch."""
        settings = {
            "cells": self.nominal.cells,
            "depth": self.nominal.depth,
            "soup": self.nominal.soup,
            "doublets": self.nominal.doublets,
        }
        names = {name: self.labels.get(name, "") for name in ("day", "library", "replicate")}
        return {
            "section": self.section,
            "condition": self.condition,
            "expected": self.fraction,
            **settings,
            **names,
            "seed": self.seed,
        }


def plan_designs(protocol: Protocol, off_target: tuple[str, ...] = ()) -> list[Design]:
    """List the batches of a protocol, without the batches for the limit of detection.

    Parameters
    ----------
    protocol
        An in silico protocol.
    off_target
        Names of other lineages with cells.
    """
    parts = (
        _design_blanks(protocol),
        _design_interference(protocol, off_target),
        _design_recovery(protocol),
        _design_precision(protocol),
        _design_robustness(protocol),
    )
    return [
        _set_seed(design, number, protocol.seed)
        for number, design in enumerate(design for part in parts for design in part)
    ]


def detection_designs(protocol: Protocol, lod: float) -> list[Design]:
    """List the batches around a printed limit of detection, 0-1."""
    levels = [min(0.9, multiple * lod) for multiple in protocol.detection.of_lod]
    designs = [
        Design("detection", level, protocol.nominal, 0, f"{multiple:g} x the printed LOD")
        for multiple, level in zip(protocol.detection.of_lod, levels, strict=True)
        for _ in range(protocol.detection.replicates)
    ]
    return [_set_seed(design, number, protocol.seed + 1) for number, design in enumerate(designs)]


def _set_seed(design: Design, number: int, seed: int) -> Design:
    """Set the seed of a batch.

    The batches of one library also share a seed in ``labels``.
    """
    return replace(design, seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


def _design_blanks(protocol: Protocol) -> Iterator[Design]:
    plan, nominal = protocol.blanks, protocol.nominal
    for soup in plan.soups:
        changed = nominal.model_copy(update={"soup": soup})
        yield from (
            Design("blanks", 0.0, changed, 0, f"soup {soup:.0%}") for _ in range(plan.replicates)
        )
    yield from (Design("blanks", 0.0, nominal, 0, "nominal") for _ in range(plan.more))


def _design_interference(protocol: Protocol, off_target: tuple[str, ...]) -> Iterator[Design]:
    plan = protocol.interference
    kinds = [
        (SINGLE_MARKER, plan.single_marker),
        (DEBRIS, plan.debris),
        *((name, plan.off_target) for name in off_target),
    ]
    for kind, share in kinds:
        if share > 0:
            made = Design(
                "interference", 0.0, protocol.nominal, 0, f"{share:.1%} {kind}", kind, share
            )
            yield from (made for _ in range(plan.replicates))


def _design_recovery(protocol: Protocol) -> Iterator[Design]:
    for level in protocol.recovery.levels:
        yield from (
            Design("recovery", level, protocol.nominal, 0)
            for _ in range(protocol.recovery.replicates)
        )


def _design_precision(protocol: Protocol) -> Iterator[Design]:
    plan, nominal = protocol.precision, protocol.nominal
    for at, level in enumerate(plan.levels):
        for day in range(plan.days):
            rng = np.random.default_rng([protocol.seed, 7, at, day])
            depth = nominal.depth * float(np.exp(rng.normal(0, plan.depth_sd)))
            soup = min(0.9, nominal.soup * float(np.exp(rng.normal(0, plan.soup_sd))))
            changed = nominal.model_copy(update={"depth": depth, "soup": soup})
            for library in range(plan.libraries):
                labels = {
                    "day": day,
                    "library": library,
                    "of": int(
                        np.random.SeedSequence([protocol.seed, 8, at, day, library]).generate_state(
                            1
                        )[0]
                    ),
                }
                yield from (
                    Design("precision", level, changed, 0, labels=labels | {"replicate": number})
                    for number in range(plan.replicates)
                )


def _design_robustness(protocol: Protocol) -> Iterator[Design]:
    plan, nominal = protocol.robustness, protocol.nominal
    changes: list[tuple[str, Nominal, float]] = [("nominal", nominal, 1.0)]
    changes += [
        (
            f"{share:g} x the cells",
            nominal.model_copy(update={"cells": max(100, round(share * nominal.cells))}),
            1.0,
        )
        for share in plan.cells
    ]
    changes += [
        (f"{share:g} x the UMI", nominal.model_copy(update={"depth": share * nominal.depth}), 1.0)
        for share in plan.depth
    ]
    changes += [
        (f"{share:.0%} doublets", nominal.model_copy(update={"doublets": share}), 1.0)
        for share in plan.doublets
    ]
    changes += [
        (f"{kept:.0%} of the markers' counts (annotation)", nominal, kept)
        for kept in plan.annotation
    ]
    for words, changed, kept in changes:
        yield from (
            Design("robustness", plan.level, changed, 0, words, kept=kept)
            for _ in range(plan.replicates)
        )


# --- mixing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """A mixed batch.

    Parameters
    ----------
    counts
        Counts of the markers, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    soup
        Counts in its empty droplets; None without ambient RNA or without the unfiltered matrix.
    positives, cells
        Number of true positive cells, and of all cells; both cells of a doublet count.
    """

    counts: Any
    depth: Any
    soup: Any
    positives: int
    cells: int


def make_batch(design: Design, pools: Pools) -> Batch:
    """Mix one batch.

    The number of positive cells is drawn from the true fraction, as when a sample is taken from a
    suspension.

    Parameters
    ----------
    design
        Design of the batch.
    pools
        Cells of known kind.
    """
    nominal, is_library = design.nominal, "of" in design.labels
    rng, own = (
        np.random.default_rng(design.labels.get("of", design.seed)),
        np.random.default_rng(design.seed),
    )
    negatives, positives = _mix_background(design, pools, rng), pools.positives
    if "day" in design.labels:
        negatives, positives = (
            _take_half(pool, design.labels["day"]) for pool in (negatives, positives)
        )
    mixed = _mix(
        design,
        as_object(positives, pools.markers, "p"),
        as_object(negatives, pools.markers, "n"),
        rng,
    )
    counts = np.asarray(mixed.X.toarray(), dtype=np.int64)
    counts = own.binomial(counts, 1 / LIBRARY_DEPTH) if is_library else counts
    n_markers = len(pools.markers)
    if design.kept < 1:
        counts[:, :n_markers] = own.binomial(counts[:, :n_markers], design.kept)
    counts = counts[counts.sum(axis=1) > 0]
    cells = int(mixed.obs["truth_n_cells"].sum()) if "truth_n_cells" in mixed.obs else mixed.n_obs
    column = "truth_n_positive" if "truth_n_positive" in mixed.obs else "truth_positive"
    soup = (
        _draw_soup(nominal, negatives, positives, own, design.kept) if nominal.unfiltered else None
    )
    return Batch(
        counts[:, :n_markers],
        counts.sum(axis=1).astype(float),
        soup,
        int(mixed.obs[column].sum()),
        cells,
    )


def _mix(
    design: Design, positives: AnnData, negatives: AnnData, rng: np.random.Generator
) -> AnnData:
    """Mix cells and ambient RNA, and pair some of the cells to doublets."""
    from scdiff.simulate import pair_cells, titrate

    nominal = design.nominal
    mixed = titrate(
        positives,
        negatives,
        n_cells=nominal.cells,
        fraction=rng.binomial(nominal.cells, design.fraction) / nominal.cells,
        depth=nominal.depth * (LIBRARY_DEPTH if "of" in design.labels else 1.0),
        contamination=nominal.soup,
        soup_share=nominal.soup_share,
        seed=int(rng.integers(2**31)),
    )
    return (
        pair_cells(mixed, rate=nominal.doublets, seed=int(rng.integers(2**31)))
        if nominal.doublets
        else mixed
    )


def _draw_soup(
    nominal: Nominal, negatives: Pool, positives: Pool, rng: np.random.Generator, kept: float
) -> Any:
    """Draw the counts of the empty droplets of a batch; None without ambient RNA."""
    from scdiff.assay.mixture import Soup

    if not nominal.soup:
        return None
    parts = ((negatives, 1 - nominal.soup_share), (positives, nominal.soup_share))
    shares = sum(part * pool.counts.sum(axis=0) / pool.depth.sum() for pool, part in parts) * kept
    drawn = rng.multinomial(EMPTY_COUNTS, [*shares, max(0.0, 1 - float(np.sum(shares)))])
    return Soup(tuple(float(count) for count in drawn[:-1]), float(EMPTY_COUNTS))


def _take_half(pool: Pool, day: int) -> Pool:
    """Return the half of a pool that a day uses, so that days differ in their cells."""
    rows = np.random.default_rng([day, 11]).permutation(len(pool))[: max(1, len(pool) // 2)]
    return pool.take(np.sort(rows))


def _mix_background(design: Design, pools: Pools, rng: np.random.Generator) -> Pool:
    """Return the negatives of a batch, with a share of interfering cells."""
    if design.background == PLAIN:
        return pools.negatives
    n_cells = len(pools.negatives)
    n_other = max(1, round(design.share * n_cells))
    other = _make_interfering(design.background, pools, n_other, rng)
    kept = pools.negatives.take(rng.permutation(n_cells)[n_other:])
    return Pool(
        np.concatenate([kept.counts, other.counts]),
        np.concatenate([kept.depth, other.depth]),
        kept.origin,
    )


def _make_interfering(kind: str, pools: Pools, number: int, rng: np.random.Generator) -> Pool:
    """Return negative cells that resemble positive cells, or cells of another lineage."""
    positive = pools.positives.take(rng.integers(len(pools.positives), size=number))
    if kind == SINGLE_MARKER:
        alone = np.eye(len(pools.markers))[rng.integers(len(pools.markers), size=number)]
        counts = positive.counts * alone
        return Pool(counts, positive.depth - positive.counts.sum(axis=1) + counts.sum(axis=1), kind)
    if kind == DEBRIS:
        negative = pools.negatives.take(rng.integers(len(pools.negatives), size=number))
        fragment, all_of = (
            rng.binomial(part.astype(np.int64), DEBRIS_SHARE)
            for part in (positive.counts, positive.depth)
        )
        return Pool(
            negative.counts + fragment,
            negative.depth + np.maximum(all_of, fragment.sum(axis=1)),
            kind,
        )
    if kind not in pools.off_target:
        raise InputError(
            f"the study has no cells of the lineage {kind!r}. Name their file in "
            "sources.off_target."
        )
    lineage = pools.off_target[kind]
    return lineage.take(rng.integers(len(lineage), size=number))
