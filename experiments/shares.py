"""Shares of episodes: the interval of one share, and the share still alive step by step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of the probability behind ``successes`` of ``n`` independent trials.

    Raises ValueError for no trials, for successes outside of 0 to n, and for a level outside of (0, 1).
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise ValueError(f"{successes} successes of {n} trials: give at least one trial and 0 to n successes")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, give a number between 0 and 1, such as 0.95")
    z = float(norm.ppf(0.5 + level / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # at the ends the bound is exactly 0 or 1, which rounding must not spoil
    return (0.0 if successes == 0 else float(centre - half)), (1.0 if successes == n else float(centre + half))


class Curve(NamedTuple):
    """A step function: ``alive[k]`` holds from ``step[k]`` to just before ``step[k + 1]``."""

    step: np.ndarray
    alive: np.ndarray
    low: np.ndarray
    high: np.ndarray


def kaplan_meier(steps: np.ndarray, lost: np.ndarray, *, level: float = 0.95) -> Curve:
    """Share of episodes alive (Kaplan and Meier, 1958) with Greenwood's pointwise interval.

    ``steps`` (n,) is how long each episode was seen, ``lost`` (n,) bool whether it ended in a blackout then; one that
    reached its time limit was alive when last seen. Raises ValueError for no episodes.
    """
    steps, lost = np.asarray(steps), np.asarray(lost, dtype=bool)
    if steps.shape != lost.shape or steps.ndim != 1 or len(steps) == 0:
        raise ValueError(f"steps have shape {steps.shape}, lost {lost.shape}: give two of (n,) with n of at least 1")
    times = np.unique(steps[lost])
    at_risk = (steps >= times[:, None]).sum(axis=1)
    losses = ((steps == times[:, None]) & lost).sum(axis=1)
    alive = np.cumprod(1.0 - losses / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = alive * np.sqrt(np.cumsum(losses / (at_risk * (at_risk - losses))))
    half = float(norm.ppf(0.5 + level / 2)) * np.where(alive > 0, spread, 0.0)
    first = (np.array([0.0]), np.array([1.0]))
    return Curve(
        step=np.append(first[0], times),
        alive=np.append(first[1], alive),
        low=np.append(first[1], np.clip(alive - half, 0.0, 1.0)),
        high=np.append(first[1], np.clip(alive + half, 0.0, 1.0)),
    )
