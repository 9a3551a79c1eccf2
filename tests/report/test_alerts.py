"""alerts: unusual batches get one sentence each, ordinary ones none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from finished import MAIN, make_batch

import scdiff
from scdiff.report.alerts import list_alerts
from scdiff.report.multiqc import general_statistics
from scdiff.report.page import render_page


def ordinary(**options):
    """A batch without anything unusual."""
    adata = make_batch(n_cells=900, **options)
    record = adata.uns["scdiff"]
    record["call"][MAIN]["calibration"]["notes"] = np.array([], dtype=object)
    adata.obs["total_counts"] = 4_000.0
    table = record["qc"]["dropped"]
    table["n_before"] = table["n_after"]
    table["high_mito"] = 0
    return adata


def drop_most(adata, share=0.92):
    table = adata.uns["scdiff"]["qc"]["dropped"]
    table["n_before"] = (table["n_after"] / (1 - share)).round().astype(int)


def drop_damaged(adata, share=0.3):
    table = adata.uns["scdiff"]["qc"]["dropped"]
    table["n_before"] = (table["n_after"] / (1 - share)).round().astype(int)
    table["high_mito"] = table["n_before"] - table["n_after"]


def keep_few(adata):
    adata.obs["sample"] = np.where(np.arange(adata.n_obs) < 150, "small", "large")


def make_shallow(adata):
    adata.obs.loc[adata.obs["sample"] == "donor A", "total_counts"] = 999.0


def contaminate(adata):
    adata.uns["scdiff"]["call"][MAIN]["markers"].loc["INS", "background_cp10k"] = 101.0


def lose_marker(adata):
    adata.uns["scdiff"]["call"][MAIN]["absent"] = np.array(["NKX6-1"], dtype=object)


def state_wrong_species(adata):
    adata.uns["scdiff"]["input"]["species"] = "mouse"


def count_reads(adata):
    adata.uns["scdiff"]["input"]["technology"] = "reads"


def be_off(adata):
    notes = np.array(["Off by a factor of three."], dtype=object)
    adata.uns["scdiff"]["call"][MAIN]["calibration"]["notes"] = notes


BAD = {
    drop_most: r"^Quality control dropped up to 92 % of the barcodes of .*donor A",
    drop_damaged: r"^Up to 3[0-3] % of the barcodes of .* have high mitochondrial counts",
    keep_few: r"^Few cells: small \(at least 150\); with fewer than 200 ",
    make_shallow: r"^Low depth: the median cell of donor A has 999 counts",
    contaminate: r"^Heavy contamination: .* INS 10 %\.$",
    lose_marker: r"^No row in the matrix: NKX6-1\. Absent does not mean zero\.$",
    state_wrong_species: r"names of human, but the species is set to mouse",
    count_reads: r"sequencing reads, not UMIs",
    be_off: r"^Off by a factor of three\.$",
}


def test_ordinary_batches_get_no_alert():
    for verdict in ("quantified", "detected", "not detected"):
        assert list_alerts(ordinary(verdict=verdict)) == []


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_each_fault_gets_one_alert(spoil):
    adata = ordinary()
    spoil(adata)
    (alert,) = list_alerts(adata)
    assert re.search(BAD[spoil], alert)


@pytest.mark.parametrize(
    ("spoil", "at", "beyond"),
    [(drop_most, 0.5, 0.52), (drop_damaged, 0.19, 0.22)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_share_that_is_dropped_has_a_limit(spoil, at, beyond):
    for share, expected in ((at, 0), (beyond, 1)):
        adata = ordinary()
        spoil(adata, share)
        assert len(list_alerts(adata)) == expected


def test_empty_droplets_are_no_loss():
    adata = ordinary()
    table = adata.uns["scdiff"]["qc"]["dropped"]
    table["empty"] = 80_000
    table["n_before"] = table["n_after"] + 80_000
    assert list_alerts(adata) == []


def test_limits_of_cells_depth_and_background_are_exclusive():
    adata = ordinary()
    adata.obs["sample"] = np.where(np.arange(adata.n_obs) < 200, "small", "large")
    adata.obs["total_counts"] = 1_000.0
    adata.uns["scdiff"]["call"][MAIN]["markers"].loc["INS", "background_cp10k"] = 100.0
    assert list_alerts(adata) == []


def test_page_card_and_multiqc_show_the_alerts():
    adata = ordinary()
    keep_few(adata)
    make_shallow(adata)
    adata.uns["scdiff"]["input"]["technology"] = "reads"
    alerts = list_alerts(adata)
    assert len(alerts) == 2
    page, card = render_page(adata, []), str(adata.scdiff)
    assert page.count('<p class="alert">') == 2
    assert all(f"Alert: {alert}" in card for alert in alerts)
    rows = general_statistics(adata, batch="b")["data"].values()
    assert {row["alerts"] for row in rows} == {2}


def test_long_lists_of_samples_are_cut():
    adata = ordinary()
    adata.obs["sample"] = [f"s{number % 6}" for number in range(adata.n_obs)]
    (alert,) = list_alerts(adata)
    assert "s0, s1, s2 and 3 more" in alert


def test_a_called_object_without_other_steps_has_alerts():
    adata = scdiff.simulate.simulate(n_cells=150, seed=3)
    scdiff.pp.prepare(adata)
    scdiff.tl.call(adata, programs=[MAIN], null_sets=0)
    assert any(alert.startswith("Few cells") for alert in list_alerts(adata))
