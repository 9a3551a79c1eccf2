"""Panels learned on one half of real labelled cells, titrated on the other half, next to the top genes of scanpy's ranking.

Peer: the three genes that ``scanpy.tl.rank_genes_groups`` (Wilcoxon) ranks highest on the same half, at least two of them expressed,
without levels. Both go through the same assay on the same mixtures. The truth of a mixture is the label: ``error_floor`` is the
error against the label plus the share of other held-out cells that the programme calls, such as doublets and sorting errors.

Run: python tests/benchmarks/bench_panel.py [--quick]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sources import DATA, write

import scdiff
from scdiff.panels.learn import Panel, panel
from scdiff.panels.reference import Cells, halve, join, read_cells
from scdiff.panels.validate import call_labels, titrate_held_out
from scdiff.programs import Marker, Program
from scdiff.vocabulary import INCONCLUSIVE

SETS = {
    "blood, sorted": (
        "pbmc_facs_human.h5ad",
        "celltype",
        ("CD19+ B", "CD56+ NK", "CD14+ Monocyte", "CD34+"),
    ),
    "blood": ("pbmc_soup_human.h5ad", "cell_type", ("B", "NK", "MNP")),
    "islets": ("islet_mouse.h5ad", "cell_type", ("beta", "alpha", "delta")),
    "pancreas E15.5": ("endocrinogenesis_mouse_e15_hvg.h5ad", "cell_type", ("Beta", "Ductal")),
    "hashed lines": ("hashed_lines_human.h5ad", "line", ("HEK", "K562", "KG1", "THP1")),
}
"""File, column and targets."""


def read(name: str) -> ad.AnnData:
    """Prepared cells; of the hashed lines the singlets, with the line of their hashtag."""
    adata = ad.read_h5ad(DATA / name)
    if "hash_ID" in adata.obs:
        adata = adata[~adata.obs["hash_ID"].isin(["Doublet", "Negative"])].copy()
        adata.obs["line"] = adata.obs["hash_ID"].astype(str).str.split("_").str[0]
    scdiff.pp.prepare(adata)
    return adata


def rank_genes(cells: Cells, target: str) -> Program:
    """Programme of the three genes that scanpy ranks highest."""
    adata = ad.AnnData(cells.counts.astype(np.float32), var=pd.DataFrame(index=cells.genes))
    adata.obs["label"] = pd.Categorical(np.where(cells.labels == target, "target", "other"))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.tl.rank_genes_groups(adata, "label", groups=["target"], method="wilcoxon")
    genes = [str(gene) for gene in adata.uns["rank_genes_groups"]["names"]["target"][:3]]
    markers = []
    for gene in genes:
        own = {} if cells.species == "human" else {cells.species: (gene,)}
        markers.append(Marker(name=gene, human=(gene.upper(),), source="rank_genes_groups", **own))
    return Program(
        name="peer",
        title="peer",
        summary="top genes",
        positive="peer",
        min_markers=2,
        source="rank_genes_groups",
        markers=tuple(markers),
    )


def summarise(program: Program, confusion: pd.DataFrame, mixed: pd.DataFrame) -> dict[str, Any]:
    """Figures of one programme; percentages."""
    others = confusion[~confusion["is_target"]]
    floor = others["n_called"].sum() / others["n_cells"].sum()
    sure = mixed[mixed["verdict"] != INCONCLUSIVE]
    positive, blanks = sure[sure["true"] > 0], mixed[mixed["true"] == 0]
    expected = positive["true"] + (1 - positive["true"]) * floor
    within = expected.between(positive["prevalence_low"], positive["prevalence_high"])
    every = mixed[mixed["true"] > 0]
    return {
        "markers": " ".join(marker.name for marker in program.markers),
        "needed": program.min_markers,
        "sensitivity": 100 * confusion["called"].iloc[0],
        "others_called": 100 * floor,
        "error": 100 * (every["prevalence"] - every["true"]).abs().mean(),
        "error_sure": 100 * (positive["prevalence"] - positive["true"]).abs().mean(),
        "error_floor": 100 * (positive["prevalence"] - expected).abs().mean(),
        "covered": f"{int(positive['inside'].sum())}/{len(positive)}",
        "covered_floor": f"{int(within.sum())}/{len(positive)}",
        "false_finds": f"{int(blanks['false_find'].sum())}/{len(blanks)}",
        "blank": 100 * blanks["prevalence"].mean(),
        "inconclusive": f"{int((mixed['verdict'] == INCONCLUSIVE).sum())}/{len(mixed)}",
        "lod": 100 * blanks["lod"].median(),
    }


def compare(name: str, label: str, target: str, seed: int) -> list[dict[str, Any]]:
    """Rows of the learned panel and of the peer."""
    adata = read(name)
    donor = "donor" if "donor" in adata.obs else None
    start = time.perf_counter()
    found: Panel = panel(adata, label=label, target=target, donor=donor, seed=seed)
    seconds = time.perf_counter() - start
    cells, _ = join([read_cells(adata, label=label, donor=donor)], [])
    learned, _ = halve(cells, target, seed)
    peer, held_out = rank_genes(cells.pick(learned), target), cells.pick(~learned)
    rows = [
        ("learned", found.program, found.confusion, found.titration),
        (
            "top genes",
            peer,
            call_labels(held_out, peer, target),
            titrate_held_out(held_out, peer, target, seed=seed),
        ),
    ]
    return [
        {"target": target, "programme": kind, **summarise(*rest), "seconds": seconds}
        for kind, *rest in rows
    ]


def main() -> None:
    """Run all targets and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    made = []
    for title, (name, label, targets) in SETS.items():
        for target in targets[:1] if quick else targets:
            for seed in range(1 if quick else 2):
                rows = compare(name, label, target, seed)
                made += [{"set": title, "seed": seed, **row} for row in rows]
                print(pd.DataFrame(made[-2:]).to_string(header=len(made) == 2), flush=True)
    notes = [
        "Percentages; `error_floor` and `covered_floor` count other cells that are called as true."
    ]
    write(pd.DataFrame(made), "panel", notes=notes)


if __name__ == "__main__":
    main()
