"""Westgard's rules against their words, and against an independent implementation."""

import numpy as np
import pytest

from scdiff.batches.westgard import RULES, find_broken


def oracle(rule, scores):
    """Read the rule's words at every point, looking back."""
    found = []
    for end in range(1, len(scores) + 1):
        seen = list(scores[:end])
        found.append({
            "1-2s": abs(seen[-1]) > 2,
            "1-3s": abs(seen[-1]) > 3,
            "2-2s": len(seen) > 1 and (min(seen[-2:]) > 2 or max(seen[-2:]) < -2),
            "R-4s": len(seen) > 1 and max(seen[-2:]) > 2 and min(seen[-2:]) < -2,
            "4-1s": len(seen) > 3 and (min(seen[-4:]) > 1 or max(seen[-4:]) < -1),
            "10x": len(seen) > 9 and (min(seen[-10:]) > 0 or max(seen[-10:]) < 0),
        }[rule])  # fmt: skip
    return found


def series(generator):
    """Scores in control, shifted, drifting or scattering more, some of them exactly on a limit."""
    length = int(generator.integers(1, 25))
    scores = generator.normal(
        generator.choice([0, 0, 1.2, -2.2]), generator.choice([0.7, 1, 2.5]), length
    )
    return np.where(
        generator.random(length) < 0.05, generator.choice([-3, -2, -1, 0, 1, 2, 3], length), scores
    )


def test_the_rules_are_what_their_words_say():
    generator = np.random.default_rng(0)
    seen = dict.fromkeys(RULES, 0)
    for _ in range(300):
        scores = series(generator)
        for rule, flags in find_broken(scores).items():
            assert flags.tolist() == oracle(rule, scores), (rule, scores)
            seen[rule] += flags.sum()
    assert min(seen.values()) > 20


@pytest.mark.long
def test_ten_thousand_series_are_judged_as_westgard_python_judges_them():
    westgard = pytest.importorskip(
        "westgard", reason="westgard-python is not installed: pip install 'scdiff-markers[dev]'"
    )
    from westgard.models import ControlObservation, EvaluationScope, RuleName, RunIdentifier

    rules = {
        "1-2s": (RuleName.ONE_2S, 1, EvaluationScope.WITHIN_RUN),
        "1-3s": (RuleName.ONE_3S, 1, EvaluationScope.WITHIN_RUN),
        "2-2s": (RuleName.TWO_2S, 2, EvaluationScope.WITHIN_MATERIAL),
        "R-4s": (RuleName.R_4S, 2, EvaluationScope.WITHIN_RUN),
        "4-1s": (RuleName.FOUR_1S, 4, EvaluationScope.WITHIN_MATERIAL),
        "10x": (RuleName.TEN_X, 10, EvaluationScope.WITHIN_MATERIAL),
    }
    assert set(rules) == set(RULES)
    generator = np.random.default_rng(1)
    n_broken = 0
    for _ in range(10_000):
        scores = series(generator)
        seen = [
            ControlObservation("a", "m", RunIdentifier("r"), place, float(score))
            for place, score in enumerate(scores)
        ]
        for name, flags in find_broken(scores).items():
            rule, window, scope = rules[name]
            for place, flag in enumerate(flags):
                last = tuple(seen[max(0, place + 1 - window) : place + 1])
                judged = westgard.evaluate_rule(rule, last, scope=scope, stream_name="s").violated
                assert judged == flag, (name, scores, place)
                n_broken += judged
    assert n_broken > 10_000


def test_what_was_not_detected_breaks_a_rule_only_where_every_value_would():
    low, high = np.array([-np.inf, -np.inf, 2.5, np.inf]), np.array([-3.5, 1.0, 2.5, np.inf])
    assert find_broken(low, upper=high)["1-3s"].tolist() == [True, False, False, True]
    ten = find_broken(np.full(10, -np.inf), upper=np.full(10, -0.1))
    assert ten["10x"].tolist() == [False] * 9 + [True]
    assert not find_broken(np.full(10, -np.inf), upper=np.full(10, 0.1))["10x"].any()


def test_runs_without_a_number_are_left_out():
    scores = np.array([2.5, np.nan, 2.5, np.nan])
    assert find_broken(scores)["2-2s"].tolist() == [False, False, True, False]
    assert all(not flags.any() for flags in find_broken(np.full(3, np.nan)).values())
    assert all(len(flags) == 0 for flags in find_broken(np.array([])).values())
