"""Random processes of a scenario: smooth in time, correlated in space, drawn from counters alone."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from marlgrid import seeding


def spatial_factor(xy: np.ndarray, reach: float, common: float = 0.0) -> np.ndarray:
    """(n, n) factor L with L @ L.T = the correlation of n sites (n, 2).

    The correlation is ``common + (1 - common) * exp(-distance / (reach * diameter))``, diameter that of the sites.
    """
    if len(xy) == 0:
        return np.zeros((0, 0))
    xy = np.nan_to_num(np.asarray(xy, dtype=float))
    distance = np.sqrt(((xy[:, None] - xy[None]) ** 2).sum(axis=2))
    scale = max(float(distance.max()), 1e-12) * reach
    correlation = common + (1.0 - common) * np.exp(-distance / scale)
    return np.linalg.cholesky(correlation + 1e-9 * np.eye(len(xy)))


def smooth_field(
    scenario: int, stream: int, factor: np.ndarray, n_row: int, delta_time: float, hours: float, knot: float
) -> np.ndarray:
    """(n_row, n) about standard normal in each column, correlated as ``factor`` says.

    Autoregressive with a memory of ``hours`` from knot to knot, one every ``knot`` hours, smooth between them.
    """
    n = len(factor)
    rows_per_knot = 60.0 * knot / delta_time
    n_knot = math.ceil(n_row / rows_per_knot) + 4
    drawn = seeding.normal(np.array([scenario]), np.zeros(1, dtype=np.int64), stream, n_knot * n).reshape(n_knot, n)
    return _interpolate(_autoregress(drawn @ factor.T, math.exp(-knot / hours)), n_row, rows_per_knot)


def rough_noise(scenario: int, stream: int, n: int, n_row: int, delta_time: float, minutes: float) -> np.ndarray:
    """(n_row, n) standard normal in each column, independent, with a memory of ``minutes`` (0: none)."""
    drawn = seeding.normal(np.array([scenario]), np.zeros(1, dtype=np.int64), stream, n_row * n).reshape(n_row, n)
    return _autoregress(drawn, math.exp(-delta_time / minutes)) if minutes > 0 else drawn


@njit(cache=True)
def _autoregress(drawn, memory):
    """First-order autoregression along axis 0, stationary with unit variance from the first row."""
    series = np.empty_like(drawn)
    news = math.sqrt(1.0 - memory * memory)
    for column in range(drawn.shape[1]):
        series[0, column] = drawn[0, column]
    for row in range(1, drawn.shape[0]):
        for column in range(drawn.shape[1]):
            series[row, column] = memory * series[row - 1, column] + news * drawn[row, column]
    return series


@njit(cache=True)
def _interpolate(knots, n_row, rows_per_knot):
    """Catmull and Rom's cubic through the knots, from the second one on."""
    n = knots.shape[1]
    curve = np.empty((n_row, n))
    for row in range(n_row):
        position = row / rows_per_knot
        knot = int(position)
        u = position - knot
        a = -0.5 * u + u * u - 0.5 * u**3
        b = 1.0 - 2.5 * u * u + 1.5 * u**3
        c = 0.5 * u + 2.0 * u * u - 1.5 * u**3
        d = -0.5 * u * u + 0.5 * u**3
        for column in range(n):
            curve[row, column] = (
                a * knots[knot, column]
                + b * knots[knot + 1, column]
                + c * knots[knot + 2, column]
                + d * knots[knot + 3, column]
            )
    return curve
