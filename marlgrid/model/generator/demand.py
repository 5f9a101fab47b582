"""Loads: weekly and seasonal shapes, noise correlated in space, a power factor that wanders a little."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_HOUSEHOLDS_WEEKDAY = (
    (0.66, 0.61, 0.58, 0.57, 0.58, 0.63, 0.75, 0.86, 0.87, 0.84, 0.83, 0.84)
    + (0.86, 0.84, 0.81, 0.81, 0.84, 0.91, 0.98, 1.00, 0.97, 0.91, 0.83, 0.74)
)  # fmt: skip
_HOUSEHOLDS_WEEKEND = (
    (0.69, 0.64, 0.60, 0.58, 0.58, 0.60, 0.65, 0.73, 0.82, 0.88, 0.91, 0.93)
    + (0.93, 0.90, 0.86, 0.85, 0.87, 0.92, 0.97, 0.98, 0.95, 0.89, 0.82, 0.75)
)  # fmt: skip
_WORK_WEEKDAY = (
    (0.60, 0.58, 0.57, 0.57, 0.59, 0.65, 0.77, 0.90, 0.97, 1.00, 1.00, 0.99)
    + (0.96, 0.98, 0.99, 0.98, 0.95, 0.89, 0.81, 0.75, 0.71, 0.68, 0.65, 0.62)
)  # fmt: skip
_WORK_WEEKEND = (
    (0.57, 0.55, 0.54, 0.54, 0.54, 0.55, 0.57, 0.60, 0.63, 0.65, 0.66, 0.66)
    + (0.65, 0.64, 0.64, 0.63, 0.63, 0.63, 0.63, 0.62, 0.61, 0.60, 0.59, 0.58)
)  # fmt: skip

SLOW_SPREAD, FAST_SPREAD, REACTIVE_SPREAD = 0.035, 0.003, 0.02
"""Standard deviations, as shares of the load: of hours, of minutes, and of the ratio of Q to P."""


def weekly_shapes(minutes: np.ndarray, weekday: int) -> np.ndarray:
    """(n_row, 2) load of households and of working places as a share of their peak.

    ``minutes`` (n_row,) count from midnight of a day whose ``weekday`` is 0 for Monday to 6 for Sunday.
    """
    week = [np.stack([_HOUSEHOLDS_WEEKDAY, _WORK_WEEKDAY], axis=1)] * 5
    week += [np.stack([_HOUSEHOLDS_WEEKEND, _WORK_WEEKEND], axis=1)] * 2
    hours = np.concatenate(week)
    hour = (minutes / 60.0 + 24.0 * weekday) % 168.0
    return np.stack([np.interp(hour, np.arange(169), np.append(column, column[0])) for column in hours.T], axis=1)


def season(day_of_year: float) -> float:
    """Load level of a day relative to mid-winter: heating in winter, some cooling in summer."""
    year = 2.0 * math.pi * (day_of_year - 20.0) / 365.0
    return 0.92 + 0.06 * math.cos(year) + 0.02 * math.cos(2.0 * year)


@njit(cache=True)
def load_power(peak_p, peak_q, households, level, shapes, slow, fast, wander):  # noqa: ANN201
    """(load_p, load_q), (n_row, n_load) MW and MVAr each.

    ``peak_p``, ``peak_q`` (n_load,) are the file's operating point, ``households`` (n_load,) the share of households
    in each load, ``level`` scales all, ``shapes`` (n_row, 2), and ``slow``, ``fast``, ``wander`` (n_row, n_load) are
    standard normal.
    """
    load_p = np.empty_like(slow)
    load_q = np.empty_like(slow)
    for row in range(slow.shape[0]):
        for load in range(slow.shape[1]):
            shape = households[load] * shapes[row, 0] + (1.0 - households[load]) * shapes[row, 1]
            noise = 1.0 + SLOW_SPREAD * slow[row, load] + FAST_SPREAD * fast[row, load]
            share = level * shape * noise
            load_p[row, load] = peak_p[load] * share
            load_q[row, load] = peak_q[load] * share * (1.0 + REACTIVE_SPREAD * wander[row, load])
    return load_p, load_q
