"""Counter-based random draws: the value is a pure function of (seed, t, stream, position), no generator object.

A stream is a small number that names one use of randomness, so that two uses never share a draw. Every draw hashes its
four coordinates with the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), so rows of a batch equal single draws bit for bit, in any process and any order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_SEED = np.uint64(0x9E3779B97F4A7C15)
_T = np.uint64(0xD1B54A32D192ED03)
_STREAM = np.uint64(0x8CB92BA72F3D8DD7)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


def uniform(seed: np.ndarray, t: np.ndarray, stream: int, n: int) -> np.ndarray:
    """(n_env, n) float64 in [0, 1) for ``seed`` (n_env,) and ``t`` (n_env,), whole numbers of any sign."""
    return _uniform(*_counters(seed, t), np.int64(stream), n)


def normal(seed: np.ndarray, t: np.ndarray, stream: int, n: int) -> np.ndarray:
    """(n_env, n) float64 standard normal draws (Box and Muller's transform of the same hash)."""
    return _normal(*_counters(seed, t), np.int64(stream), n)


def normal_sum(seed: np.ndarray, t: np.ndarray, stream: int, n: int, length: int) -> np.ndarray:
    """(n_env, n) sum of the ``normal`` draws at t + 1, ..., t + length: the news between two steps of a random walk."""
    return _normal_sum(*_counters(seed, t), np.int64(stream), n, length)


def _counters(seed: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both counters as (n_env,) int64, a single number repeated as often as the other needs."""
    if _ready(seed) and _ready(t) and len(seed) == len(t):
        return seed, t
    seed = np.atleast_1d(np.asarray(seed))
    t = np.atleast_1d(np.asarray(t))
    for name, value in (("seed", seed), ("t", t)):
        if value.ndim != 1 or value.dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {value.dtype} and shape {value.shape}, give whole numbers, one per env")
    if len(seed) != len(t):
        seed, t = np.broadcast_arrays(seed, t)
    return np.ascontiguousarray(seed, dtype=np.int64), np.ascontiguousarray(t, dtype=np.int64)


def _ready(counter: np.ndarray) -> bool:
    return type(counter) is np.ndarray and counter.dtype == np.int64 and counter.ndim == 1


@njit(cache=True, inline="always")
def _mix(x):
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@njit(cache=True, inline="always")
def _origin(seed, t, stream):
    """Where the sequence of (seed, t, stream) begins."""
    x = _mix(np.uint64(seed) * _SEED + _SEED)
    x = _mix(x ^ (np.uint64(t) * _T + _T))
    return _mix(x ^ (np.uint64(stream) * _STREAM + _STREAM))


@njit(cache=True, inline="always")
def _unit(origin, k):
    """k-th number of a sequence, in [0, 1)."""
    return np.float64(_mix(origin + np.uint64(k + 1) * _SEED) >> np.uint64(11)) * _UNIT


@njit(cache=True, inline="always")
def one_uniform(seed, t, stream) -> float:
    """For kernels: the first number of ``uniform`` for one environment."""
    return _unit(_origin(seed, t, np.int64(stream)), 0)


@njit(cache=True)
def _uniform(seed, t, stream, n):
    drawn = np.empty((len(seed), n))
    for env in range(len(seed)):
        origin = _origin(seed[env], t[env], stream)
        for k in range(n):
            drawn[env, k] = _unit(origin, k)
    return drawn


@njit(cache=True)
def _normal(seed, t, stream, n):
    drawn = np.empty((len(seed), n))
    for env in range(len(seed)):
        origin = _origin(seed[env], t[env], stream)
        for k in range(0, n, 2):
            # 1 - u is in (0, 1]: the logarithm is finite.
            radius = math.sqrt(-2.0 * math.log(1.0 - _unit(origin, k)))
            angle = 2.0 * math.pi * _unit(origin, k + 1)
            drawn[env, k] = radius * math.cos(angle)
            if k + 1 < n:
                drawn[env, k + 1] = radius * math.sin(angle)
    return drawn


@njit(cache=True)
def _normal_sum(seed, t, stream, n, length):
    total = np.zeros((len(seed), n))
    for later in range(1, length + 1):
        total += _normal(seed, t + later, stream, n)
    return total
