"""Confidence intervals by resampling (Efron's percentile bootstrap)."""

from __future__ import annotations

import numpy as np


def mean_interval(
    values: np.ndarray, *, level: float = 0.95, n_resample: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of independent ``values`` (n,), deterministic for a seed.

    Raises ValueError for no values, or a level outside of (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values have shape {values.shape}, give (n,) with n of at least 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, give a number between 0 and 1, such as 0.95")
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(n_resample, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference_interval(first: np.ndarray, second: np.ndarray, **settings: float) -> tuple[float, float]:
    """Interval of the mean difference of paired values (n,): the same scenarios, two agents."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs are needed, but the shapes are {first.shape} and {second.shape}")
    return mean_interval(first - second, **settings)
