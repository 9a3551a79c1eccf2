"""What the passes over counts on disk cost, in multiples of one streamed read of the same store, and the memory that they take.

One process on as many threads as there are cores reads a zarr store of simulated cells: loading with its survey of all values,
quality control without the search for doublets, moments, principal components, scores of six programmes by both methods, and the
null sets of the calibration.

Run: python tests/benchmarks/bench_streaming.py [--cells 100000] [--cache FOLDER]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from bench_atlas import atlas
from bench_passes import N_SETS, PROGRAMS
from isolated import Clock, fresh, options, peak_gib
from sources import write


def passes(store: Path, out: Path) -> None:
    """Time every pass in this process."""
    import numpy as np

    from scdiff import io, pp, tl
    from scdiff.assay.calibration import tally_null_sets
    from scdiff.assay.matched import draw_sets
    from scdiff.compute.arrays import sort_names
    from scdiff.compute.blocks import get_counts, get_values, stack_blocks
    from scdiff.compute.moments import gene_moments, normalise_dispersion
    from scdiff.compute.pca import Components
    from scdiff.programs import load_programs
    from scdiff.steps import normalise, score  # noqa: F401 so that their import is no part of the passes
    from scdiff.steps.call.calibration import read_batch
    from scdiff.steps.embed import step as embed  # noqa: F401 so that their import is no part of the passes
    from scdiff.steps.shared.markers import read_markers

    before, clock = peak_gib(), Clock()
    adata = io.load(store, engine="dask")
    clock.lap("load, survey of all values")
    stack_blocks(get_counts(adata), lambda block: np.array([[block.nnz]]))
    clock.lap("streamed read")
    pp.qc(adata, doublets="skip")
    clock.lap("quality control")
    pp.normalise(adata, store=False)
    values = get_values(adata)
    dispersion = normalise_dispersion(*gene_moments(values, linear=True))
    clock.lap("moments")
    by_name = sort_names(adata.var_names)
    columns = by_name[
        np.sort(np.argsort(-np.nan_to_num(dispersion[by_name], nan=-np.inf), kind="stable")[:2_000])
    ]
    Components.of(values, columns, 30).coordinates(values)
    clock.lap("principal components")
    tl.score(adata, programs=PROGRAMS)
    clock.lap("scores")
    loaded, batch = load_programs(PROGRAMS), read_batch(adata)
    batch.prepare()
    read = read_markers(adata, loaded)
    for program in loaded:
        counts = read.of([marker for marker in program.core if read.genes([marker])[marker.name]])
        drawn = draw_sets(
            batch.totals, batch.squares, batch.genes, counts.sum(axis=0), n_sets=N_SETS
        )
        tally_null_sets(batch, counts, drawn, program.min_markers)
    clock.lap("calibration, six programmes")
    out.write_text(json.dumps(clock.told() | {"before_gib": before}))


def table(told: dict[str, Any]) -> pd.DataFrame:
    """Seconds and reads of every pass, and of all but the plain read."""
    read = told["seconds"].pop("streamed read")
    seconds = {
        "streamed read": read,
        **told["seconds"],
        "all passes": sum(told["seconds"].values()),
    }
    return pd.DataFrame(
        {
            "what": list(seconds),
            "s": list(seconds.values()),
            "reads": [value / read for value in seconds.values()],
        }
    )


def main() -> None:
    """Time the passes in a process of their own."""
    if sys.argv[1:2] == ["--worker"]:
        passes(*map(Path, sys.argv[2:]))
        return
    parser = options(__doc__)
    parser.set_defaults(cells=[100_000])
    given = parser.parse_args()
    (n_cells,) = given.cells
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "told.json"
        fresh(__file__, "--worker", atlas(n_cells, given.cache), out)
        told = json.loads(out.read_text())
    about = f"{n_cells:,} cells x 20,000 genes; peak {told['peak_gib']:.2f} GiB, {told['before_gib']:.2f} of it before the first pass."
    write(table(told), "streaming", folder=given.results, notes=[about])


if __name__ == "__main__":
    main()
