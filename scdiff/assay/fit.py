"""Penalised maximum likelihood of the mixture, and the profile likelihood of the prevalence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from scdiff.assay.arithmetic import TINY
from scdiff.assay.densities import Parameters
from scdiff.assay.doublets import chance_positives
from scdiff.assay.mixture import Likelihood, Model
from scdiff.assay.priors import (
    AFTER_GOOD_STEP,
    AFTER_POOR_STEP,
    AFTER_REFUSAL,
    AFTER_REFUSALS,
    CONTESTED_ABOVE,
    DAMPING,
    DROP_PRECISION,
    ENOUGH_SMALL_STEPS,
    FEWEST_CONTESTED,
    FINE_GAIN,
    FIT_ROWS,
    GAIN_OF_EVIDENCE,
    GOOD_RATIO,
    KNOWN_LEVEL_SD,
    LARGEST_LOGIT,
    LARGEST_REACH,
    LARGEST_STEP,
    LEAST_DAMPING,
    LEVELS_LEARNED,
    MOST_DAMPING,
    MOST_PROFILE_POINTS,
    MOST_REACH,
    MOST_STEPS,
    NEAR_REACH,
    NEARLY_ALL,
    POOR_RATIO,
    RETRY_PREVALENCE,
    RIVAL_IN_INTERVAL,
    ROUGH_GAIN,
    ROUGH_ROWS,
    SMALLEST_POSITIVE_WEIGHT,
    STARTS,
    UNKNOWN_LEVEL_SD,
    WIDER,
    WORTH_A_CLASS,
    WORTH_A_REACH,
    WORTH_NEGATIVES,
)
from scdiff.assay.table import CellTable, Floats

__all__ = ["Fit", "fit_at", "fit_mixture", "profile_interval", "start_of", "upper_bound_at"]


@dataclass(frozen=True)
class Fit:
    """A fitted mixture.

    Parameters
    ----------
    model, table
        The model and the cells.
    theta
        The optimum, shape (n_theta,).
    value
        Penalised negative log-likelihood at the optimum.
    prevalence
        Weight of the positive patterns, 0-1.
    pattern
        Posterior of the patterns in each row, shape (n_rows, n_patterns).
    evidence_of_positives
        Twice the log-likelihood ratio against no positive cell (except by doublets), 0 or more.
    rival
        Log-likelihood by which a rival fit (contamination that reaches farther, or less far)
        describes the counts worse, and its prevalence; infinite and NaN if there is no rival fit.
    """

    model: Model
    table: CellTable
    theta: Floats
    value: float
    prevalence: float
    pattern: Floats
    evidence_of_positives: float
    rival: tuple[float, float] = (np.inf, np.nan)

    @property
    def parameters(self) -> Parameters:
        """Natural parameters at the optimum."""
        return self.model.parameters(self.theta)

    @property
    def weight(self) -> Floats:
        """Weight of each pattern over all cells, shape (n_patterns,), summing to 1."""
        return self.model.average_weight(self.theta, self.table)


def fit_mixture(
    table: CellTable,
    model: Model,
    *,
    start: Floats | None = None,
    also: Floats | None = None,
    doublet_rate: float = 0.0,
) -> Fit:
    """Fit the mixture from several starts and keep the best optimum.

    The starts assume that positive cells are rare, mixed or all. If a batch without positive cells
    fits as well, the fit is that of such a batch. If the ambient RNA is unknown, up to three fits
    differ in how far the contamination of single cells may reach; a farther reach must describe the
    counts clearly better.

    Parameters
    ----------
    table
        Cells as distinct rows.
    model
        Typical levels and the number of markers needed.
    start
        Theta of a single start, shape (n_theta,), instead of the three.
    also
        Theta of an additional start, shape (n_theta,), for example a fit to the pooled samples.
    doublet_rate
        Share of droplets with two cells, 0-0.3: droplets that are positive by chance are not
        evidence for positive cells.
    """
    rough = _coarsen(table, ROUGH_ROWS)
    thetas = [start] if start is not None else [start_of(rough, model, kind) for kind in STARTS]
    first = _fit_one(table, model, thetas + ([also] if also is not None else []), doublet_rate)
    if start is not None or not model.has_open_reach:
        return first

    def fit_reach(reach: float) -> Fit:
        other = replace(model, reach=reach)
        return _fit_one(table, other, [start_of(rough, other, "rare"), first.theta], doublet_rate)

    fits = [fit_reach(NEAR_REACH), first] if _reaches_beyond(first, NEAR_REACH) else [first]
    if _is_contested(table, model):
        fits.append(fit_reach(MOST_REACH))
    return _choose_reach(fits)


def _reaches_beyond(fit: Fit, reach: float) -> bool:
    """Check whether at least one cell has a contamination above ``reach``."""
    share = float(fit.parameters.node_weight[fit.model.nodes > reach].sum())
    return share * fit.table.n_cells >= 1


def _choose_reach(fits: list[Fit]) -> Fit:
    """Choose the fit with the nearest reach that no farther one beats clearly.

    If the genes that accompany a marker showed that contamination reaches far, a farther fit only
    needs to be better. The rival is the other fit that describes the counts nearly as well.
    """
    chosen = fits[0]
    for farther in fits[1:]:
        was_measured = NEAR_REACH < chosen.model.reach < MOST_REACH
        worth = 0.0 if was_measured else WORTH_A_REACH
        chosen = farther if farther.value < chosen.value - worth else chosen
    rivals = [(abs(fit.value - chosen.value), fit.prevalence) for fit in fits if fit is not chosen]
    return replace(chosen, rival=min(rivals)) if rivals else chosen


def _is_contested(table: CellTable, model: Model) -> bool:
    """Check whether the rate of the most abundant marker in some cells may be contamination."""
    witness = model.witness
    if witness is None or not model.has_open_reach or model.reach >= MOST_REACH:
        return False
    marker, level = table.markers[witness], model.level[witness]
    rate = (marker.counts / marker.depth)[marker.row] / level
    return (
        float(table.weight[(rate > CONTESTED_ABOVE) & (rate < MOST_REACH)].sum())
        >= FEWEST_CONTESTED
    )


def _fit_one(table: CellTable, model: Model, thetas: list[Floats], doublet_rate: float) -> Fit:
    """Fit one model from several starts."""
    rough, small = _coarsen(table, ROUGH_ROWS), _coarsen(table, FIT_ROWS)
    started = [_descend(rough, model, theta, enough=ROUGH_GAIN) for theta in thetas]
    theta, best = _descend(rough, model, min(started, key=_get_value)[0])
    weight = model.average_weight(theta, rough)
    by_chance = chance_positives(weight, model.patterns, model.positive, doublet_rate)
    blank, none = theta, best
    if by_chance < weight[model.positive].sum():
        blank, none = _descend(rough, model, theta, prevalence=by_chance, best=best.value)
    if none.value < best.value - ROUGH_GAIN:
        # the fit without positive cells found a better optimum: look for positive cells from there
        again = _descend(rough, model, _add_positives(rough, model, blank))
        theta, best = min([(theta, best), again], key=_get_value)
        weight = model.average_weight(theta, rough)
    evidence = max(0.0, 2 * (none.value - best.value))
    prevalence = weight[model.positive].sum()
    if model.min_markers > 1 and prevalence > NEARLY_ALL:
        theta = _try_without_negatives(rough, model, theta, best)
    if evidence < WORTH_A_CLASS:
        shares = np.where(model.positive, weight / prevalence, 0.0)
        theta = _remove_positives(rough, model, blank, shares, by_chance)
    elif small is not rough:
        theta = _descend(small, model, theta)[0]
    return fit_at(table, model, theta, evidence_of_positives=evidence)


def _try_without_negatives(
    table: CellTable, model: Model, theta: Floats, best: Likelihood
) -> Floats:
    """Return theta of positive cells only, if negative cells add too little log-likelihood."""
    full, every = _descend(table, model, theta, prevalence=1.0)
    worth = 2 * (every.value - best.value)
    return _remove_negatives(model, full) if worth < WORTH_NEGATIVES else theta


def _remove_negatives(model: Model, theta: Floats) -> Floats:
    """Return theta of a fit whose prevalence was fixed at 1."""
    low, high = model.bounds
    place = model.layout.patterns
    weight, moved = theta[place], theta.copy()
    moved[place] = np.where(model.positive, weight - weight[model.positive].max(), low[place])
    return np.clip(moved, low, high)


def _add_positives(table: CellTable, model: Model, theta: Floats) -> Floats:
    """Return theta with one cell in a hundred positive, otherwise unchanged."""
    weight = model.average_weight(theta, table)
    some = np.where(
        model.positive,
        RETRY_PREVALENCE / model.positive.sum(),
        (1 - RETRY_PREVALENCE) * weight / weight[~model.positive].sum(),
    )
    low, high = model.bounds
    return np.clip(model.with_weight(theta, table, some), low, high)


def _remove_positives(
    table: CellTable, model: Model, theta: Floats, shares: Floats, prevalence: float
) -> Floats:
    """Return theta of a fit whose prevalence was fixed near 0.

    ``shares`` are the pattern weights that positive cells would have.
    """
    held = table.weight @ model.weights(theta, table, prevalence).weight / table.weight.sum()
    weight = np.where(model.positive, prevalence * shares, held) + SMALLEST_POSITIVE_WEIGHT * (
        shares + 1e-3
    )
    low, high = model.bounds
    return np.clip(model.with_weight(theta, table, weight / weight.sum()), low, high)


def _coarsen(table: CellTable, most_rows: int) -> CellTable:
    """Use wider bins until there are at most ``most_rows`` rows, or the widest bins are reached."""
    for binning in WIDER:
        if len(table.weight) <= most_rows:
            break
        table = table.coarser(binning)
    return table


def fit_at(table: CellTable, model: Model, theta: Floats, *, evidence_of_positives: float) -> Fit:
    """Rebuild a fit from its stored optimum.

    Parameters
    ----------
    table, model
        The cells and the model.
    theta
        The optimum, shape (n_theta,).
    evidence_of_positives
        Twice the log-likelihood ratio against no positive cell, 0 or more.
    """
    here = model.evaluate(theta, table)
    prevalence = float(model.average_weight(theta, table)[model.positive].sum())
    return Fit(model, table, theta, here.value, prevalence, here.pattern, evidence_of_positives)


def _get_value(result: tuple[Floats, Likelihood]) -> float:
    """Return the minimised value of a result."""
    return result[1].value


def start_of(table: CellTable, model: Model, kind: str) -> Floats:
    """Build theta of a start.

    Parameters
    ----------
    table, model
        The cells and the model.
    kind
        ``rare`` explains all counts by background, ``all`` by expression, ``mixed`` by both.
    """
    prevalence, contamination = STARTS[kind]
    theta, at, typical = model.prior_mean.copy(), model.layout, np.array(model.level)
    relative = contamination * table.share / typical
    centre = np.log(np.clip(relative.max(), model.nodes[0], model.most / 2))
    theta[at.nodes] -= np.minimum((np.log(model.nodes) - centre) ** 2 / 2, 6.0)
    theta[at.soup] = np.log(relative) - centre
    if kind == "all":
        theta[at.level] = np.log(table.share)
    weight = (
        np.where(
            model.positive,
            prevalence / model.positive.sum(),
            (1 - prevalence) / (~model.positive).sum(),
        )
        * 0.1
    )
    weight[-1] += 0.9 * prevalence
    weight[0] += 0.9 * (1 - prevalence)
    theta[at.patterns] = np.log(weight) - np.log(weight).mean()
    return theta


def _descend(
    table: CellTable,
    model: Model,
    theta: Floats,
    prevalence: float | None = None,
    enough: float = FINE_GAIN,
    best: float = np.inf,
) -> tuple[Floats, Likelihood]:
    """Run a Levenberg-Marquardt descent inside the bounds.

    The curvature comes from the outer product of the scores. The damping follows the ratio of the
    gain of a step to the gain that the curvature predicts. The descent ends after three successive
    steps that gain less than ``enough``. Far above ``best``, the value with positive cells, the
    steps must gain more.
    """
    low, high = model.bounds
    theta = np.clip(theta, low, high)
    here, damping, small, refused = model.evaluate(theta, table, prevalence), DAMPING, 0, 0
    for _ in range(MOST_STEPS):
        new = np.clip(theta + _damped_step(theta, here, damping, low, high), low, high)
        there = model.evaluate(new, table, prevalence)
        gain, predicted = here.value - there.value, _predict_gain(here, new - theta)
        if gain > 0:
            needed = max(enough, GAIN_OF_EVIDENCE * (there.value - best))
            small, refused = (small + 1 if gain < needed else 0), 0
            theta, here = new, there
            damping = _follow_ratio(damping, gain / max(predicted, TINY))
        else:
            refused += 1
            damping *= AFTER_REFUSAL if refused == 1 else AFTER_REFUSALS
        if small == ENOUGH_SMALL_STEPS or damping > MOST_DAMPING:
            break
    return theta, here


def _damped_step(
    theta: Floats, here: Likelihood, damping: float, low: Floats, high: Floats
) -> Floats:
    """Solve for the step of the parameters that are not at a bound.

    All parameters are logarithms or logits, so 1 is a usual distance for each: adding it to the
    diagonal keeps parameters that the counts hardly determine from taking long steps.
    """
    free = ~(((theta <= low) & (here.gradient > 0)) | ((theta >= high) & (here.gradient < 0)))
    curvature = here.curvature[np.ix_(free, free)]
    damped = curvature + damping * np.diag(np.diag(curvature) + 1.0)
    step = np.zeros(len(theta))
    step[free] = -np.linalg.solve(damped, here.gradient[free])
    return np.clip(step, -LARGEST_STEP, LARGEST_STEP)


def _predict_gain(here: Likelihood, step: Floats) -> float:
    """Compute the gain of a step if the curvature were exact."""
    return float(-here.gradient @ step - step @ here.curvature @ step / 2)


def _follow_ratio(damping: float, ratio: float) -> float:
    """Return the next damping after a step with this ratio of real to predicted gain."""
    if ratio > GOOD_RATIO:
        return max(damping / AFTER_GOOD_STEP, LEAST_DAMPING)
    return damping * AFTER_POOR_STEP if ratio < POOR_RATIO else damping


def profile_interval(fit: Fit, *, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the profile likelihood interval of the prevalence; it is valid at 0 and at 1.

    All other parameters are fitted again at each candidate prevalence. If few or no positive cells
    were found, their levels are unknown: the interval then allows for cells that express the
    markers down to a tenth of the typical level. A single marker at a tenth of its level looks like
    contamination: its upper bound is for the typical level. The interval also holds that of a rival
    fit that describes the counts nearly as well, which has the same width.

    Parameters
    ----------
    fit
        The fitted mixture.
    confidence
        Nominal coverage, between 0 and 1.
    """
    drop, estimate = chi2.ppf(confidence, 1) / 2, fit.prevalence
    small = _coarsen(fit.table, FIT_ROWS)
    learned = fit.evidence_of_positives >= (
        LEVELS_LEARNED if fit.model.min_markers > 1 else WORTH_A_CLASS
    )
    spread = UNKNOWN_LEVEL_SD if fit.model.min_markers > 1 else KNOWN_LEVEL_SD
    model = fit.model if learned else replace(fit.model, level_sd=spread)
    if small is not fit.table or model is not fit.model:
        fit = replace(fit, model=model, table=small)
        fit = _moved(fit, *_descend(small, model, fit.theta))
    low = min(_find_bound(fit, -1, drop), estimate)
    high = max(_find_bound(fit, +1, drop), estimate)
    gap, rival = fit.rival
    if gap > RIVAL_IN_INTERVAL:
        return low, high
    lowest, highest = rival - (estimate - low), rival + (high - estimate)
    return min(low, max(lowest, 0.0)), max(high, min(highest, 1.0))


def _moved(fit: Fit, theta: Floats, here: Likelihood) -> Fit:
    """Return the fit at another optimum; the profile must start from the prevalence there."""
    prevalence = float(fit.model.average_weight(theta, fit.table)[fit.model.positive].sum())
    return replace(fit, theta=theta, value=here.value, prevalence=prevalence)


def upper_bound_at(fit: Fit, relative: float, *, confidence: float = 0.95) -> float:
    """Compute the upper bound of the prevalence of cells with a stated level of the markers.

    Parameters
    ----------
    fit
        The fitted mixture.
    relative
        Level of such cells, relative to the typical level, above 0.
    confidence
        Nominal coverage, between 0 and 1.
    """
    small = _coarsen(fit.table, FIT_ROWS)
    model = replace(fit.model, level_sd=KNOWN_LEVEL_SD, relative=relative)
    start = fit.theta.copy()
    start[model.layout.level] = np.log(model.level) + np.log(relative)
    moved = _moved(replace(fit, model=model, table=small), *_descend(small, model, start))
    return _find_bound(moved, +1, chi2.ppf(confidence, 1) / 2)


def _find_bound(fit: Fit, side: int, drop: float) -> float:
    """Find the prevalence at which the profile has dropped by ``drop`` on one side.

    Return 0 or 1 if it never does. The square root of the drop is nearly linear in the logit, so
    secants through it need few points. Each point starts from the nearest one inside, because one
    far outside may lie in another valley.
    """
    centre = float(logit(np.clip(fit.prevalence, 1e-6, 1 - 1e-6)))
    inner, outer = (centre, 0.0), (side * LARGEST_LOGIT, np.inf)
    theta, guess = fit.theta, centre + side * 0.25
    for _ in range(MOST_PROFILE_POINTS):
        there, here = _descend(
            fit.table, fit.model, theta, prevalence=float(expit(guess)), enough=ROUGH_GAIN / 4
        )
        root = float(np.sqrt(max(here.value - fit.value, 0.0)))
        if abs(root**2 - drop) < DROP_PRECISION:
            return float(expit(guess))
        if root**2 < drop:
            inner, theta = (guess, root), there
        else:
            outer = (guess, root)
        if abs(inner[0]) >= LARGEST_LOGIT:
            return float(side > 0)
        guess = _next_logit(inner, outer, centre, np.sqrt(drop), side)
    return float(expit(guess))


def _next_logit(
    inner: tuple[float, float], outer: tuple[float, float], centre: float, goal: float, side: int
) -> float:
    """Choose the next logit to try.

    It is between the inner and the outer point. Without an outer point it is beyond the inner one,
    at most four times as far.
    """
    if np.isfinite(outer[1]):
        share = (goal - inner[1]) / (outer[1] - inner[1])
        return inner[0] + float(np.clip(share, 0.1, 0.9)) * (outer[0] - inner[0])
    reach = abs(inner[0] - centre) * float(np.clip(goal / max(inner[1], 1e-9), 1.3, 4.0))
    return side * min(
        side * (centre + side * reach), side * inner[0] + LARGEST_REACH, LARGEST_LOGIT
    )
