"""The linear programme of a dispatcher: the cheapest deviations from the schedule that keep flows within limits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

SLACK_COST = 1e3
"""Of one MW above a limit: whatever helps is worth it, and there is always a solution."""


class Controls(NamedTuple):
    """What a linear programme may choose: one entry per unit, MW injected into the grid."""

    effect: np.ndarray
    """(n_line, n) MW on each line per MW."""
    low: np.ndarray
    high: np.ndarray
    """Deviation from the schedule that can be reached in this step."""
    now: np.ndarray
    """Deviation without any action, which ``flow`` includes."""
    cost: np.ndarray
    """Per MW of deviation, > 0."""


def least_deviation(flow: np.ndarray, limit: np.ndarray, controls: Controls, rest: np.ndarray) -> np.ndarray:
    """(n,) the cheapest deviations from the schedule that keep all flows within their limits, MW.

    Minimises ``cost |x| + SLACK_COST overload`` over deviations ``x`` between ``low`` and ``high`` so that
    ``|flow + effect (x - now) + rest b| <= limit + overload``, where ``b = -sum(x - now)`` is what generators that are
    not ours balance, as ``rest`` (n_line,) says; where it is nan, nobody does and the changes sum to zero.
    """
    free = np.isnan(rest).any()
    effect = controls.effect if free else controls.effect - rest[:, None]
    base = flow - effect @ controls.now
    # most lines cannot reach their limits whatever is chosen
    within_reach = np.abs(base) + np.abs(effect) @ np.maximum(-controls.low, controls.high) > limit
    effect, base, limit = effect[within_reach], base[within_reach], limit[within_reach]
    n, n_line = len(controls.cost), len(base)
    split = np.hstack([effect, -effect])
    overload = -np.eye(n_line)
    solution = linprog(
        np.concatenate([controls.cost, controls.cost, np.full(n_line, SLACK_COST)]),
        A_ub=np.vstack([np.hstack([split, overload]), np.hstack([-split, overload])]),
        b_ub=np.concatenate([limit - base, limit + base]),
        A_eq=np.concatenate([np.ones(n), -np.ones(n), np.zeros(n_line)])[None] if free else None,
        b_eq=[controls.now.sum()] if free else None,
        bounds=np.concatenate(
            [
                np.stack([np.maximum(controls.low, 0.0), np.maximum(controls.high, 0.0)], axis=1),
                np.stack([np.maximum(-controls.high, 0.0), np.maximum(-controls.low, 0.0)], axis=1),
                np.stack([np.zeros(n_line), np.full(n_line, np.inf)], axis=1),
            ]
        ),
        method="highs",
    )
    if solution.x is None:
        # no point between the bounds sums to zero: a generator that trips, a schedule that outruns the ramps
        return controls.now
    return solution.x[:n] - solution.x[n : 2 * n]
