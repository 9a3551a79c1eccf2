"""Counts with known truth: whole batches from a model, and titrations from real cells.

:func:`simulate` draws a batch of mesenchymal stem/stromal cells in which a stated fraction of the
droplets went toward the pancreas; :func:`titrate` mixes real cells at a stated fraction, depth and
contamination. What is true of every cell stands in ``obs["truth_*"]``, of the batch in ``uns["truth"]``.
The biology (gene levels) is fixed, ``seed`` draws the cells: batches of different seeds belong together.
"""

from __future__ import annotations

from scdiff.simulate.batch import BatchDesign, demo, simulate
from scdiff.simulate.biology import SWITCH
from scdiff.simulate.titration import keep_markers, pair_cells, titrate

__all__ = ["SWITCH", "BatchDesign", "demo", "keep_markers", "pair_cells", "simulate", "titrate"]
