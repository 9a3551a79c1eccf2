"""Simulate counts with known truth: whole batches from a model, and titrations of real cells.

:func:`simulate` draws a batch of mesenchymal stem/stromal cells in which a stated fraction of the
droplets is on the way to pancreatic beta cells. :func:`titrate` mixes real cells at a stated
fraction, depth and contamination. The truth of every cell is in ``obs["truth_*"]``, that of the
batch in ``uns["truth"]``. The biology (levels of the genes) is fixed and ``seed`` draws the cells,
so batches of different seeds can be compared.
"""

from __future__ import annotations

from scdiff.simulate.batch import BatchDesign, demo, simulate
from scdiff.simulate.biology import SWITCH
from scdiff.simulate.titration import keep_markers, pair_cells, titrate

__all__ = ["SWITCH", "BatchDesign", "demo", "keep_markers", "pair_cells", "simulate", "titrate"]
