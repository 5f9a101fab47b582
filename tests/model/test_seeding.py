"""Draws are pure functions of their counters, spread as they should be, and a batch equals its single draws."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marlgrid import seeding

WHOLE = st.integers(-(2**63), 2**63 - 1)
DRAWS = (seeding.uniform, seeding.normal)


def splitmix(x: int) -> int:
    """SplitMix64's finaliser in Python's own integers."""
    mask = 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def expected_uniform(seed: int, t: int, stream: int, k: int) -> float:
    mask = 2**64 - 1
    golden, for_t, for_stream = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
    x = splitmix((seed * golden + golden) & mask)
    x = splitmix(x ^ ((t * for_t + for_t) & mask))
    x = splitmix(x ^ ((stream * for_stream + for_stream) & mask))
    return (splitmix((x + (k + 1) * golden) & mask) >> 11) * 2.0**-53


@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=5), st.integers(0, 1000), st.integers(0, 9))
def test_batch_equals_singles(counters, stream, n):
    seed, t = (np.array(column, dtype=np.int64) for column in zip(*counters, strict=True))
    for draw in DRAWS:
        batch = draw(seed, t, stream, n)
        assert batch.shape == (len(seed), n)
        for env in range(len(seed)):
            assert np.array_equal(batch[env], draw(seed[env : env + 1], t[env : env + 1], stream, n)[0])


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.integers(0, 200))
def test_a_draw_is_what_the_hash_says(seed, t, stream):
    drawn = seeding.uniform(np.array([seed]), np.array([t]), stream, 3)[0]
    assert drawn.tolist() == [expected_uniform(seed, t, stream, k) for k in range(3)]


def test_a_longer_draw_begins_with_the_shorter_one():
    counters = np.array([5]), np.array([7])
    for draw in DRAWS:
        assert np.array_equal(draw(*counters, 1, 10)[:, :7], draw(*counters, 1, 7))


def test_another_process_draws_the_same():
    code = "from marlgrid import seeding; print(seeding.normal(3, 4, 5, 3).tolist())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "17", "PYTHONPATH": "."},
    )
    assert run.stdout.strip() == str(seeding.normal(np.array([3]), np.array([4]), 5, 3).tolist())


def test_uniform_draws_are_uniform_and_independent_across_every_counter():
    n = 4000
    numbers, zeros = np.arange(n), np.zeros(n, dtype=np.int64)
    series = [
        seeding.uniform(numbers, zeros, 1, 1)[:, 0],
        seeding.uniform(zeros, numbers, 1, 1)[:, 0],
        seeding.uniform(np.array([0]), np.array([0]), 1, n)[0],
        np.array([seeding.uniform(np.array([0]), np.array([0]), stream, 1)[0, 0] for stream in range(n)]),
    ]
    for values in series:
        assert values.min() >= 0
        assert values.max() < 1
        assert stats.kstest(values, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.06
    assert np.abs(np.corrcoef(series) - np.eye(4)).max() < 0.06


def test_normal_draws_are_normal():
    drawn = seeding.normal(np.arange(500), np.zeros(500, dtype=np.int64), 2, 9)
    assert stats.kstest(drawn.reshape(-1), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(9)).max() < 0.2


def test_sum_of_news_telescopes():
    counters = np.array([1, 2]), np.array([10, 20])
    whole = seeding.normal_sum(*counters, 3, 4, 5)
    parts = seeding.normal_sum(*counters, 3, 4, 2) + seeding.normal_sum(counters[0], counters[1] + 2, 3, 4, 3)
    assert whole == pytest.approx(parts, abs=1e-12)
    one = seeding.normal(counters[0], counters[1] + 1, 3, 4)
    assert np.array_equal(seeding.normal_sum(*counters, 3, 4, 1), one)


def test_one_seed_serves_many_steps():
    drawn = seeding.uniform(4, np.arange(3), 1, 2)
    assert np.array_equal(drawn, seeding.uniform(np.full(3, 4), np.arange(3), 1, 2))


@pytest.mark.parametrize("seed", [np.array([0.5]), np.zeros((2, 2), dtype=int), "7"])
def test_counters_must_be_whole_numbers(seed):
    with pytest.raises(TypeError, match=r"seed has dtype .* give whole numbers"):
        seeding.uniform(seed, np.array([0]), 1, 1)
