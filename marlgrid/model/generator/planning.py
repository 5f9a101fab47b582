"""Planned maintenance in working hours, and accidental outages where they are wanted."""

from __future__ import annotations

import numpy as np

from marlgrid import seeding

FIRST_HOUR, LAST_HOUR = 8.0, 16.0
"""Maintenance begins and ends within these hours of a weekday."""
SHORTEST_HOURS = 3.0
HAZARD_HOURS = 4.0
"""Mean length of an accidental outage."""


def maintenance_mask(
    scenario: int, stream: int, candidates: np.ndarray, n_line: int, minutes: np.ndarray, weekday: int, per_week: float
) -> np.ndarray:
    """(n_row, n_line) bool: ``per_week`` pieces of work a week on average, each on one of the ``candidates``.

    One crew per five pieces of work a week: it works on at most one line a day, and never two crews on one line.
    """
    mask = np.zeros((len(minutes), n_line), dtype=bool)
    if not len(candidates) or per_week <= 0:
        return mask
    n_crew = int(np.ceil(per_week / 5.0))
    n_day = int(minutes[-1] // 1440) + 1
    drawn = seeding.uniform(np.array([scenario]), np.array([0]), stream, n_day * n_crew * 4).reshape(n_day, n_crew, 4)
    for day in range(n_day):
        if (weekday + day) % 7 >= 5:
            continue
        for comes, which, begins, lasts in drawn[day]:
            line = candidates[int(which * len(candidates))]
            first = 60.0 * (FIRST_HOUR + begins * (LAST_HOUR - FIRST_HOUR - SHORTEST_HOURS))
            last = first + 60.0 * SHORTEST_HOURS + lasts * (60.0 * (LAST_HOUR - SHORTEST_HOURS) - first)
            if comes < per_week / 5.0 / n_crew:
                mask[(minutes >= 1440 * day + first) & (minutes < 1440 * day + last), line] = True
    return mask


def hazard_mask(scenario: int, stream: int, n_line: int, minutes: np.ndarray, per_year: float) -> np.ndarray:
    """(n_row, n_line) bool: each line fails ``per_year`` times a year on average, for a few hours, never in row 0."""
    mask = np.zeros((len(minutes), n_line), dtype=bool)
    if per_year <= 0:
        return mask
    step = minutes[1] - minutes[0] if len(minutes) > 1 else 0.0
    drawn = seeding.uniform(np.array([scenario]), np.array([0]), stream, 2 * mask.size).reshape(2, *mask.shape)
    for row, line in np.argwhere(drawn[0] < per_year * step / (365.0 * 1440.0)):
        if row > 0:
            hours = -HAZARD_HOURS * np.log(1.0 - drawn[1, row, line])
            mask[row : row + max(1, round(60.0 * hours / step)), line] = True
    return mask
