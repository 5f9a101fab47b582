"""Confidence intervals by resampling (Efron's percentile bootstrap)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def mean_interval(
    values: np.ndarray, *, level: float = 0.95, n_resample: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of independent ``values`` (n,), deterministic for a seed.

    Raises ValueError for no values, or a level outside of (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"values have shape {values.shape}, give (n,) with n of at least 1")
    low, high = mean_intervals(values[:, None], level=level, n_resample=n_resample, seed=seed)
    return float(low[0]), float(high[0])


def mean_intervals(
    values: np.ndarray, *, level: float = 0.95, n_resample: int = 10_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (n_column,) of the intervals of the means of columns (n, n_column), all with the same resamples of the rows.

    Raises ValueError as ``mean_interval`` does.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"values have shape {values.shape}, give (n, n_column) with n of at least 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, give a number between 0 and 1, such as 0.95")
    means = _times_drawn(len(values), n_resample, seed) @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


@lru_cache(maxsize=4)
def _times_drawn(n: int, n_resample: int, seed: int) -> np.ndarray:
    """(n_resample, n) how often each of n values is in each resample."""
    drawn = np.random.default_rng(seed).integers(n, size=(n_resample, n))
    drawn += n * np.arange(n_resample)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * n_resample).reshape(n_resample, n).astype(np.float64)


def difference_interval(first: np.ndarray, second: np.ndarray, **settings: float) -> tuple[float, float]:
    """Interval of the mean difference of paired values (n,): the same scenarios, two agents."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"pairs are needed, but the shapes are {first.shape} and {second.shape}")
    return mean_interval(first - second, **settings)
