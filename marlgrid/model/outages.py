"""Planned and accidental outages of lines: from masks to the counters that the rules and the agents read."""

from __future__ import annotations

import numpy as np
from numba import njit


def maintenance_counters(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(time_next_maintenance, duration_next_maintenance), (n_row, n_line) int32 each, of planned outages.

    ``mask`` (n_row, n_line) is true in the rows in which the line is in maintenance. The first is 0 during a
    maintenance, else the steps to the next one, -1 if there is none; the second counts down the rows left of the
    current maintenance (n, ..., 1), else is the length of the next one, 0 if there is none. A maintenance that begins
    in row 0 counts like any other (Grid2Op reports it as absent).
    """
    mask = _outage_mask(mask)
    time_next = np.empty(mask.shape, dtype=np.int32)
    duration = np.empty(mask.shape, dtype=np.int32)
    _count_maintenance(mask, time_next, duration)
    return time_next, duration


def hazard_counters(mask: np.ndarray) -> np.ndarray:
    """hazard_duration (n_row, n_line) int32: rows left of the current outage (n, ..., 1), 0 outside: no advance notice.

    ``mask`` (n_row, n_line) is true in the rows in which the line is out.
    """
    mask = _outage_mask(mask)
    duration = np.empty(mask.shape, dtype=np.int32)
    _count_hazard(mask, duration)
    return duration


def _outage_mask(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"an outage mask has shape {mask.shape}, give (n_row, n_line)")
    return np.ascontiguousarray(mask != 0)


@njit(cache=True)
def _count_maintenance(mask, time_next, duration):
    n_row, n_line = mask.shape
    for line in range(n_line):
        wait, length = -1, 0
        for row in range(n_row - 1, -1, -1):
            if mask[row, line]:
                length = length + 1 if wait == 0 else 1
                wait = 0
            elif wait >= 0:
                wait += 1
            time_next[row, line] = wait
            duration[row, line] = length


@njit(cache=True)
def _count_hazard(mask, duration):
    n_row, n_line = mask.shape
    for line in range(n_line):
        left = 0
        for row in range(n_row - 1, -1, -1):
            left = left + 1 if mask[row, line] else 0
            duration[row, line] = left
