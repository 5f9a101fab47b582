"""What kernels know of whole numbers: a hash table with open addressing.

Knuth, "The Art of Computer Programming", section 6.4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marlgrid.compiled import kernel_in_place, rule


def hashed(known: Mapping[int, int]) -> np.ndarray:
    """(n, 2) int64, at most half full: the table in which ``find`` looks for numbers; what is known is 0 or more."""
    n = len(known)
    table = np.zeros((2 << n.bit_length(), 2), dtype=np.int64)
    if n:  # who knows nothing yet need not load compiled code
        _insert(np.fromiter(known.keys(), np.int64, n), np.fromiter(known.values(), np.int64, n), table)
    return table


@rule
def find(table, number) -> int:  # pragma: no cover
    """What is known of a number, -1 for nothing."""
    last = len(table) - 1
    at = number & last
    while table[at, 1] != 0 and table[at, 0] != number:
        at = (at + 1) & last
    return table[at, 1] - 1


@kernel_in_place
def _insert(numbers, values, table):  # pragma: no cover
    last = len(table) - 1
    for i in range(len(numbers)):
        at = numbers[i] & last
        while table[at, 1] != 0:
            at = (at + 1) & last
        table[at, 0], table[at, 1] = numbers[i], values[i] + 1
