"""Rows of batches: taken and put, whether the state stands in one block or array by array."""

from __future__ import annotations

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.state import State, put, take


@pytest.fixture(scope="module")
def batch():
    """Four episodes that differ, in one block."""
    env = marlgrid.vector_env("case14", zones=3, n_envs=4, opponent="agent", start="random")
    env.reset(seed=3)
    for _ in range(3):
        env.step({agent: np.zeros(4, dtype=np.int64) for agent in env.agents})
    return env.current


def arrays(record):
    """Every array of a nested record."""
    return [a for part in record for a in arrays(part)] if isinstance(record, tuple) else [record]


def plain(state):
    """The same values, array by array."""
    return State(*(type(part)(*map(np.copy, part)) if isinstance(part, tuple) else part.copy() for part in state))


@pytest.mark.parametrize("rows", [[2], [3, 0, 0, 1, 2], [-1], np.array([True, False, False, True])], ids=str)
def test_rows_are_taken_as_numpy_would(batch, rows):
    rows = np.array(rows)
    taken, other = take(batch, rows), take(plain(batch), rows)
    for array, same, whole in zip(arrays(taken), arrays(other), arrays(batch), strict=True):
        np.testing.assert_array_equal(array, whole[rows])
        np.testing.assert_array_equal(same, whole[rows])


def test_what_is_taken_has_memory_of_its_own(batch):
    before = batch.rho.copy()
    take(batch, np.array([1])).rho[:] = 7.0
    np.testing.assert_array_equal(batch.rho, before)


@pytest.mark.parametrize("made", [lambda state: state, plain], ids=["block", "arrays"])
def test_rows_are_put(batch, made):
    rows = np.array([0, 2])
    part = made(take(batch, np.array([3, 1])))
    joined = put(batch, rows, part)
    for array, whole, new in zip(arrays(joined), arrays(batch), arrays(part), strict=True):
        expected = whole.copy()
        expected[rows] = new
        np.testing.assert_array_equal(array, expected)
    for array, same in zip(arrays(joined), arrays(put(plain(batch), rows, part)), strict=True):
        np.testing.assert_array_equal(array, same)


def test_the_verdicts_on_the_others_stay(batch):
    """A ruling is not a part of a state: rows put into a batch leave it alone."""
    batch.memory.frame.ruling.reason[:] = np.arange(4)[:, None]
    joined = put(batch, np.array([1]), take(batch, np.array([2])))
    for ruled, before in zip(joined.memory.frame.ruling, batch.memory.frame.ruling, strict=True):
        np.testing.assert_array_equal(ruled, before)
