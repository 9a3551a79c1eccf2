"""Every prior and tuning constant of the mixture, its fit, the blanks and the criticism of a fit.

Each constant states its meaning, its unit and its source. Most were decided on real cells with
known truth: ``tests/benchmarks/README.md`` says against which alternative. "Chosen, not tuned"
means that no comparison with other values is on record. Levels and rates of a marker are shares of
a cell's counts. A typical level is the level that the programme states for cells that express the
marker. A contamination of 1 means as much of a marker as a positive cell has at the typical levels.

Constants inside compiled loops stay in :mod:`scdiff.assay.null_kernel`.
"""

from __future__ import annotations

import numpy as np

from scdiff.assay.table import Binning

# --- mixture: levels of expressed markers ---------------------------------------------------------

LEVEL_SD = 0.8
"""Prior standard deviation of ln level around the typical level. With 0.5 instead of 0.8 the worst
error over 24 batches of weak, graded, debris and one-hump expression was 18 points, not 9."""
LEVEL_MIN, LEVEL_MAX = 0.1, 10.0
"""Lowest and highest level, relative to the typical level. Below a tenth, contamination looks the
same."""
HIGHEST_LEVEL = 0.7
"""Highest level of one marker, share of a cell's counts. A bound only, chosen, not tuned."""
ON_SIZE, ON_SIZE_SD = np.log(3.0), 0.5
"""Prior of ln size of the negative binomial of an expressed marker: mean and standard deviation. A
size of 3 is a CV of 58 % between cells, in addition to counting noise. Chosen, not tuned."""
ON_SIZE_RANGE = (0.3, 30.0)
"""Lowest and highest negative binomial size of an expressed marker."""
TAIL, TAIL_LEVEL, TAIL_SIZE = 0.02, 0.2, 3.0
"""Share of the expressing cells that express little, their level relative to the others, and the
size of their negative binomial. A tail that reaches down to 0 counted INS as expressed in 64 %
of other islet cells; a capped dispersion in its place read a batch of positive cells as
background."""
ACTIVITY, ACTIVITY_SD = np.log(0.2), 0.5
"""Prior of ln activity: mean and standard deviation. The activity is the standard deviation of the
ln factor that the expressed markers of one cell share. Without it the mean error of the islet
titration was 0.19 points instead of 0.085."""
ACTIVITY_RANGE = (0.02, 1.0)
"""Lowest and highest activity."""

# --- mixture: contamination -----------------------------------------------------------------------

N_NODES = 17
"""Number of contamination values that cells can have. Chosen, not tuned."""
LEAST_CONTAMINATION = 1e-4
"""Lowest contamination: far below one count per cell for every marker of the programmes."""
MOST_CONTAMINATION = 0.5
"""Highest contamination if the ambient RNA is unknown and an abundant marker shows it. Above it,
three markers cannot distinguish contamination from weak expression of all markers."""
MOST_SCARCE = 0.2
"""The same if no abundant marker shows the contamination of a cell."""
NEAR_REACH = 0.15
"""Highest contamination of the nearer fit, which is kept unless a fit with a farther reach
describes the cells better by ``WORTH_A_REACH``. A free distribution up to 0.5 explains positive
cells with little of the most abundant marker as a class of droplets at its end: simulated batches
with 3-20 % positive cells were read 15 % too low, and 79 % of the intervals held the truth."""
MOST_REACH = 1.2
"""Highest contamination of the rival fit. The rival fit, chosen by likelihood, lowered the share of
sure and wrong batches from 3.6 % to 0 % (84 batches of ``make bench-contamination``)."""
MOST_SOUP = 0.9
"""Highest share of a cell's counts that is ambient RNA, if empty droplets were counted. Chosen, not
tuned."""
MOST_RICH = 100.0
"""Highest contamination if empty droplets were counted: an upper bound for ambient RNA that is rich
in a marker of a low typical level. Chosen, not tuned."""
ABUNDANT = 5e-3
"""Typical level above which a marker shows the contamination of single cells, share of the counts:
20 counts in a cell of 4,000."""
MOST_MEAN_SOUP, MOST_MEAN_SD = 0.3, 0.15
"""Mean share of ambient RNA over the cells above which a cost starts, and the standard deviation of
its logarithm there. Used if empty droplets were counted. Chosen, not tuned."""
MOST_MEAN = 0.1
"""The same for the contamination, if the ambient RNA is unknown and an abundant marker shows it: a
third of a droplet is ambient RNA, and a third of that comes from positive cells. Without it 10,000
positive cells at 10,000 UMI were read as 69 % positive: contamination at 0.7 of the typical level
in all. If no abundant marker shows it, the prior would hide contamination from single genes."""
NODE_SD = 2.5
"""Prior standard deviation of the logits of the contamination values: wide, because batches hold
several classes of droplets."""
NODE_LOGIT_BOUND = 12.0
"""Largest absolute logit of a contamination value."""
RARE_ABOVE, RARE_SLOPE = 0.05, 1.0
"""Contamination above which values are expected to be rarer, and by which power of it. Chosen, not
tuned."""
COMPOSITION_SPREAD = 0.7
"""Prior standard deviation of ln ambient level around the typical level, if the ambient RNA is
unknown: it is made of the positive cells, so its markers have similar proportions."""
KNOWN_SPREAD = 0.3
"""The same around the counts of the empty droplets, in addition to their counting noise."""
SOUP_PSEUDOCOUNT = 0.5
"""Counts added to each marker of the empty droplets, so that 0 has a logarithm."""
FREEDOM = 2.0
"""Degrees of freedom of Student's tails of the ambient composition. Normal tails made a second
optimum: 1.1 % positive cells at 1,000 UMI were read as 5.1 %."""
SOUP_LOG_RANGE = (-12.0, 0.0)
"""Lowest and highest ln ambient level, relative to the typical level."""
LEAK, LEAK_SD = np.log(1e-4), 2.0
"""Prior of ln leak: mean and standard deviation. The leak is background that needs no
contamination, relative to the typical level. Chosen, not tuned."""
MOST_LEAK, MOST_LEAK_BESIDE_SOUP = 0.1, 0.01
"""Highest leak if the ambient RNA is unknown, and if empty droplets were counted."""
LEAST_LOG_LEAK = -14.0
"""Lowest ln leak."""
TILT, TILT_SD = -0.3, 0.5
"""Prior of the tilt: mean and standard deviation. Ambient counts grow with depth to the power 1 +
tilt: 0 is proportional to depth, -1 a constant volume."""
TILT_RANGE = (-1.3, 1.0)
"""Lowest and highest tilt."""
OFF_SIZE, OFF_SIZE_SD = np.log(15.0), 0.5
"""Prior of ln size of the negative binomial of a background count: mean and standard deviation. A
size of 15 is a CV of 26 % in addition to counting noise. Chosen, not tuned."""
OFF_SIZE_RANGE = (3.0, 100.0)
"""Lowest and highest negative binomial size of a background count."""

# --- mixture: weights of the patterns -------------------------------------------------------------

REFERENCE_DEPTH = 4_000.0
"""Depth (counts per cell) at which the weights and the contamination are stated: a usual depth of
10x data."""
SLOPE_SD = 0.5
"""Prior standard deviation of the slope of the patterns' log-odds by ln depth. One slope for all
patterns with an expressed marker: a slope for positive patterns only read two blanks as 33 %."""
SLOPE_BOUND = 2.0
"""Largest absolute slope."""
WEIGHT_SD = 10.0
"""Prior standard deviation of the logits of the pattern weights: so wide that it only keeps them
finite."""
PATTERN_LOGIT_BOUND = 25.0
"""Largest absolute logit of a pattern weight."""
PARTIAL, PARTIAL_SD = np.log(0.003), 0.7
"""Ln share of a pattern with too few expressed markers above which a cost starts, and its standard
deviation. Without this cost the mean error of the islet titration was 0.24 points instead of 0.17;
of 0.5, 0.7 and 1.0 for the standard deviation, 0.7 was best."""
POSITIVE, POSITIVE_SD = np.log(0.05), 1.0
"""The same for all positive patterns together. Chosen, not tuned."""
EXCESS_FREEDOM = 1.0
"""Degrees of freedom of Student's tails of these two costs: heavy, so that the counts can overrule
them."""

# --- fit: search ----------------------------------------------------------------------------------

STARTS = {"rare": (0.01, 1.0), "mixed": (0.3, 0.3), "all": (0.97, 0.03)}
"""Prevalence and contamination at which a descent starts, by the name of the start. The
contamination is the share of the observed mean that it explains."""
ROUGH_ROWS, FIT_ROWS = 1500, 5000
"""Most rows of the table on which the starts descend, and of the table for the optimum and its
profile. Limited for speed."""
WIDER = (Binning(8, 32), Binning(4, 16), Binning(2, 16), Binning(1, 8))
"""Bins of depths and counts that are tried in turn until a table is small enough."""
MOST_STEPS = 80
"""Most steps of one descent."""
ROUGH_GAIN, FINE_GAIN = 2e-2, 5e-3
"""Log-likelihood that a step must gain for the descent to continue: of a start, of the optimum."""
ENOUGH_SMALL_STEPS = 3
"""Number of successive steps that gain less, after which a descent ends. With two, descents ended
0.4 log units above the best optimum instead of 0.2, and needed 6 % fewer evaluations."""
GAIN_OF_EVIDENCE = 2e-2
"""The same in a fit without positive cells, as a share of the evidence for them so far."""
LARGEST_STEP = 2.0
"""Largest change of one entry of theta in one step."""
DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-3, 1e8
"""Damping of the first step, lowest damping, and damping above which a descent ends. A lowest
damping of 1e-6 needed 60 % more evaluations."""
GOOD_RATIO, POOR_RATIO = 0.75, 0.25
"""Ratio of real to predicted gain above which the damping falls and below which it rises: the usual
values of trust-region methods. With a damping that fell after each gain, half of the steps were
refused, and descents ended 1.6 log units (worst 13) above the best optimum, not 0.7 (worst 9)."""
AFTER_GOOD_STEP, AFTER_POOR_STEP, AFTER_REFUSAL, AFTER_REFUSALS = 5.0, 3.0, 4.0, 8.0
"""Divisor of the damping after a good step, and its factors after a poor step, a refused step, and
each further refused step. Values from half to twice these were equal within 10 %."""
RETRY_PREVALENCE = 0.01
"""Prevalence from which the search for positive cells restarts if a fit without them found a better
optimum."""
SMALLEST_POSITIVE_WEIGHT = 1e-9
"""Weight of the positive patterns in a batch without positive cells: its logarithm stays finite."""
WORTH_A_CLASS = 3.0
"""Twice the log-likelihood that positive cells must add to be fitted. Without it, blanks were read
as up to 0.5 % positive; with it, as 0."""
NEARLY_ALL, WORTH_NEGATIVES = 0.9, 4.0
"""Prevalence above which a batch of positive cells only is tried, and twice the log-likelihood that
negative cells must add to be kept. Chosen, not tuned."""
CONTESTED_ABOVE, FEWEST_CONTESTED = 0.35, 3
"""Rate of the most abundant marker, in typical levels, above which it may be contamination, and
number of such cells that starts the rival fit. Chosen, not tuned."""
WORTH_A_REACH = 20.0
"""Log-likelihood by which contamination that reaches farther must describe the cells better to be
believed. With 10, 20, 30 and 100, the mean error of single fits was 0.29, 0.23, 0.23 and 0.24
points in the titration, and 1.51, 1.47, 1.77 and 2.87 in 168 batches of the contamination."""

# --- fit: interval of the prevalence --------------------------------------------------------------

RIVAL_IN_INTERVAL = 20.0
"""Log-likelihood by which a rival fit may describe the cells worse, or a fit with a farther reach
better, for the interval to hold it: the error of the model is of this order in simulated batches.
Chosen, not tuned."""
LEVELS_LEARNED = 30.0
"""Evidence for positive cells (twice a log-likelihood ratio) above which the batch itself states
their levels. Below it the interval must allow for lower levels. Chosen, not tuned."""
UNKNOWN_LEVEL_SD, KNOWN_LEVEL_SD = 1.6, 0.2
"""Standard deviation of ln level in the interval: if the levels are unknown, and for a stated
level. With the typical level only, weak positive cells (2.5 % at a fifth of the level) were "not
detected, at most 0.4-1.4 %"; with 1.6, "at most 1.9-3.5 %"."""
LARGEST_LOGIT, LARGEST_REACH = 16.0, 2.0
"""Largest absolute logit of the prevalence on the profile, and largest step between two points."""
DROP_PRECISION = 0.02
"""Precision of the drop of the log-likelihood at an interval end."""
MOST_PROFILE_POINTS = 20
"""Most points of the profile on one side."""

# --- blanks ---------------------------------------------------------------------------------------

DEPTHS, DRAWS = 5_000, 100_000
"""Cells whose depths are used for background-only cells, and cells drawn at these depths for each
half of the check. Limited for speed."""
BLANK_CELLS = 1_000
"""Cells of each matched set that the full caller calls. Limited for speed."""
BLANK_BINNING = Binning(2, 16)
"""Bins of the tables of the blanks. Twenty blanks are fitted for each programme: wide bins and one
start make this four times faster."""

# --- criticism ------------------------------------------------------------------------------------

RELEVANT_DIFFERENCE = 0.01
"""Difference of the prevalence below which no statement changes: one percentage point."""
UNCALLED, UNCALLED_TYPICAL = 0.1, 0.5
"""Share of the positive cells that must be called one by one, and share of the cells that could be
called if positive cells expressed the markers at typical levels. Below either, the prevalence
depends on the shape of a distribution."""
UNPREDICTED = 0.99
"""Probability of more called cells than were called, if that share can be called, above which the
calls are too few."""
CONTESTED = 0.5
"""Highest share of the prevalence that may depend on cells whose most abundant marker is as low as
contamination can put it."""
GREY = 0.7
"""Level of the most abundant marker, in typical levels, that no contamination is expected to
reach."""
NO_DOUBT = 1e-9
"""Probability of contamination below which the most abundant marker of a cell is not contested."""
LOW_LEVEL = 0.35
"""Lowest level of the markers in positive cells, relative to the typical level. Below it, debris of
positive cells looks the same."""
LONE_LEVEL = 0.7
"""The same if nearly all cells are positive without the most abundant marker. No cell then shows
the background, and the sample may be full of debris: 0.35 % was read as 32.5 % before this
limit."""
AT_BOUND = 1e-6
"""Distance in ln level within which a level is at its bound: numerical tolerance."""
DECISIVE = 0.25
"""Share of the prevalence that changes what is stated."""
APART = 0.35
"""Share of the larger prevalence by which a rival fit must differ to change what is stated."""
TOP_NODE = 0.1
"""Highest share of the cells at the highest contamination. Hardly any real batch has one in ten
there."""
ZEROS_OFF = 6.0
"""Standard errors by which the number of cells that show a group of markers may differ from the
fit."""
ZEROS_MODEL_ERROR = 0.1
"""Relative error of the expected number of cells, in addition to counting noise."""
N_DEPTHS = 4
"""Bins of depth in which these numbers are compared."""
