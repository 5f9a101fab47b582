"""Eight numbers of eight rows at once: each where ``spread`` would write it, and nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from marlgrid.powerflow.lanes import WIDTH, eight, spread_eight


@njit
def of_eight_rows(source, at, memory, begin, field, index, count):
    spread_eight(eight(0.0), source, at, memory, begin, field, index, count)


@njit
def of_one_row(source, at, memory, begin, field, index, count):
    spread_eight(0.0, source, at, memory, begin, field, index, count)


@pytest.mark.parametrize("count", range(1, WIDTH + 1))
def test_neighbours_are_written_to_the_rows_of_all_lanes(count):
    rng = np.random.default_rng(count)
    source, memory = rng.normal(size=100), np.full((2, WIDTH, 20), np.nan)
    rows = rng.permutation(WIDTH)
    begin = np.stack([20 * rows, WIDTH * 20 + 20 * rows])
    of_eight_rows(source, 5, memory.ravel(), begin.ravel(), 1, 3, count)
    expected = np.full((2, WIDTH, 20), np.nan)
    for lane, row in enumerate(rows):
        for k in range(count):
            expected[1, row, 3 + k] = source[5 + k * WIDTH + lane]
    np.testing.assert_array_equal(memory, expected)


@pytest.mark.parametrize("count", range(1, WIDTH + 1))
def test_neighbours_of_a_single_row(count):
    source, memory = np.arange(20.0), np.full(30, np.nan)
    of_one_row(source, 2, memory, np.array([0, 10]), 1, 4, count)
    expected = np.full(30, np.nan)
    expected[14 : 14 + count] = source[2 : 2 + count]
    np.testing.assert_array_equal(memory, expected)
