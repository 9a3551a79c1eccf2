"""The real MultiQC shows every batch and every sample."""

from __future__ import annotations

import json

import pytest
from multiqc_page import build_page

from scdiff.report.multiqc import general_statistics, state_bars

N_BATCHES = 24
SAMPLES = ("donor A", "donor B", "medium control")


@pytest.mark.long
def test_multiqc_shows_every_sample_of_every_batch(batch, tmp_path) -> None:
    """One batch is named like a sample of the others, and another could not be measured."""
    names = ["donor A", "lost", *(f"B{number}" for number in range(2, N_BATCHES))]
    for name in names:
        adata = batch("not measurable" if name == "lost" else "quantified")
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        for file, content in {
            "scdiff_mqc.json": general_statistics(adata, batch=name),
            "scdiff_states_mqc.json": state_bars(adata, batch=name),
        }.items():
            (folder / file).write_text(json.dumps(content, allow_nan=False))
    data = build_page(tmp_path)
    rows = data["report_general_stats_data"]["custom_content"]
    samples = {f"{name}: {sample}" for name in names for sample in SAMPLES}
    assert set(rows) == samples | set(names)
    assert "prevalence" not in rows["lost"]
    assert rows["lost"]["verdict"] == "not measurable"
    assert rows["B2"]["prevalence"] > 0
    bars = json.dumps(data["report_plot_data"]["scdiff_states_plot"])
    assert all(json.dumps(sample) in bars for sample in samples)
