"""Shares against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from experiments.bootstrap import difference_interval, mean_interval, mean_intervals
from experiments.shares import kaplan_meier, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (25, 50), (50, 50), (999, 1000)])
def test_wilsons_interval_is_scipys(successes, n):
    for level in (0.9, 0.95):
        theirs = binomtest(successes, n).proportion_ci(level, method="wilson")
        assert wilson_interval(successes, n, level=level) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_no_such_share(successes, n):
    with pytest.raises(ValueError, match="give at least one trial"):
        wilson_interval(successes, n)
    with pytest.raises(ValueError, match="level"):
        wilson_interval(1, 2, level=95)


def test_survival_of_freireichs_patients():
    """The 6-MP group of Freireich et al. (1963), the standard example, with its published estimates."""
    steps = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
    lost = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    curve = kaplan_meier(steps, lost)
    assert curve.step.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    assert curve.alive == pytest.approx([1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    error = (curve.alive - curve.low)[[1, 3]] / 1.959964
    assert error == pytest.approx([0.0764, 0.0963], abs=1e-4)


def test_without_censoring_it_is_the_share_alive():
    steps = np.array([3, 3, 8, 20, 20])
    lost = np.array([True, True, True, False, False])
    curve = kaplan_meier(steps, lost)
    assert curve.step.tolist() == [0, 3, 8]
    assert curve.alive == pytest.approx([1, 0.6, 0.4])
    assert kaplan_meier(steps[3:], lost[3:]).alive.tolist() == [1], "nobody lost"
    gone = kaplan_meier(steps[:2], lost[:2])
    assert [gone.alive[-1], gone.low[-1], gone.high[-1]] == [0, 0, 0]
    with pytest.raises(ValueError, match="at least 1"):
        kaplan_meier(np.zeros(0), np.zeros(0))


def test_columns_have_the_intervals_of_each_alone():
    values = np.random.default_rng(3).normal(size=(40, 3))
    low, high = mean_intervals(values)
    for k in range(3):
        assert mean_interval(values[:, k]) == pytest.approx((low[k], high[k]), abs=1e-12)


def test_the_paired_interval_of_a_normal_difference():
    """Pairs that share most of their noise: the interval is that of the differences, not of the two samples."""
    rng = np.random.default_rng(5)
    shared, own = rng.normal(0, 10, size=1000), rng.normal(0.5, 1, size=1000)
    low, high = difference_interval(shared + own, shared)
    half = 1.96 * own.std() / np.sqrt(1000)
    assert (low, high) == pytest.approx((own.mean() - half, own.mean() + half), abs=0.01)
