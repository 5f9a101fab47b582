"""What kernels know of whole numbers is what a dict knows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from marlgrid.lookup import find, hashed


@njit
def found(table, numbers, values):
    for i in range(len(numbers)):
        values[i] = find(table, numbers[i])


NUMBERS = st.one_of(st.integers(-20, 200), st.integers(-(2**63), 2**63 - 1))


@given(st.dictionaries(NUMBERS, st.integers(0, 2**62), max_size=40), st.lists(NUMBERS, max_size=20))
def test_a_table_knows_what_the_dict_knows(known, others):
    table = hashed(known)
    asked = np.array([*known, *others], dtype=np.int64)
    values = np.empty(len(asked), np.int64)
    found(table, asked, values)
    assert values.tolist() == [known.get(number, -1) for number in asked.tolist()]
    assert len(table) >= 2 * len(known)


def test_numbers_that_meet_in_one_place():
    """They all begin to look at the same place of the table, and at its end."""
    known = {16 * k + 15: k for k in range(7)}
    table = hashed(known)
    assert len(table) == 16
    values = np.empty(8, np.int64)
    found(table, np.array([*known, 127]), values)
    assert values.tolist() == [0, 1, 2, 3, 4, 5, 6, -1]
