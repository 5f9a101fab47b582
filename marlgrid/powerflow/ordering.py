"""In which order the buses of a topology are eliminated, and which blocks that fills in."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule, subkernel


@subkernel
def number_buses(bus, slack_bus, n_bus) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Numbers of the buses in use, the slack's being the last, -1 for the others; and those buses."""
    number = np.full(n_bus, -1, np.int32)
    for b in bus:
        if b >= 0:
            number[b] = 0
    n = 0
    buses = np.empty(n_bus + 1, np.int32)
    for b in range(n_bus):
        if number[b] == 0 and b != slack_bus:
            number[b] = n
            buses[n] = b
            n += 1
    buses[n] = slack_bus
    if slack_bus >= 0:
        number[slack_bus] = n
    return number, buses[: n + 1]


@subkernel
def neighbours(bus, number, n, n_line) -> tuple[np.ndarray, ...]:  # pragma: no cover
    """The graph of n + 1 buses as lists in a pool: where each begins, its length; no neighbour twice."""
    begin, length = np.zeros(n + 2, np.int32), np.zeros(n + 1, np.int32)
    for line in range(n_line):
        if bus[line] >= 0 and bus[line] != bus[n_line + line]:
            begin[number[bus[line]] + 1] += 1
            begin[number[bus[n_line + line]] + 1] += 1
    for i in range(n + 1):
        begin[i + 1] += begin[i]
    pool = np.empty(4 * begin[n + 1] + 16, np.int32)
    for line in range(n_line):
        if bus[line] >= 0 and bus[line] != bus[n_line + line]:
            f, t = number[bus[line]], number[bus[n_line + line]]
            known = False
            for i in range(begin[f], begin[f] + length[f]):
                known |= pool[i] == t
            if not known:
                pool[begin[f] + length[f]] = t
                pool[begin[t] + length[t]] = f
                length[f] += 1
                length[t] += 1
    return begin, length, pool


@subkernel
def all_connected(begin, length, pool, n) -> bool:  # pragma: no cover
    """Whether every bus in use is reached from the slack's, number n."""
    reached, queue = np.zeros(n + 1, np.bool_), np.empty(n + 1, np.int32)
    queue[0], reached[n] = n, True
    count, done = 1, 0
    while done < count:
        bus = queue[done]
        done += 1
        for i in range(begin[bus], begin[bus] + length[bus]):
            if not reached[pool[i]]:
                reached[pool[i]] = True
                queue[count] = pool[i]
                count += 1
    return count == n + 1


@subkernel
def eliminate(begin, length, pool, n) -> tuple[np.ndarray, ...]:  # pragma: no cover
    """Order of least degree (the slack, number n, comes last and has no part in it), and the pattern with fill-in.

    Eliminating position k links all its remaining neighbours; each pair (a, b) of them is updated, a == b being the
    diagonal: ``update`` holds the block of every pair a < b, position by position. Buses of one degree are linked in a
    list, so that the time grows with the number of blocks and updates alone.
    """
    end = begin[n + 1]
    room = np.empty(n, np.int32)
    head, after, before = np.full(n + 1, -1, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    for i in range(n):
        room[i] = begin[i + 1] - begin[i]
        for j in range(begin[i], begin[i] + length[i]):
            if pool[j] == n:
                length[i] -= 1
                pool[j] = pool[begin[i] + length[i]]
                break
        _insert(head, after, before, i, length[i])
    order, rank = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32)
    order[n] = rank[n] = n
    first, column = np.zeros(n + 1, np.int32), np.empty(4 * n + 16, np.int32)
    mark = np.full(n, -1, np.int32)
    pairs, least = 0, 0
    for k in range(n):
        least = max(least - 1, 0)
        while head[least] < 0:
            least += 1
        pivot = head[least]
        _remove(head, after, before, pivot, least)
        order[k], rank[pivot] = pivot, k
        count, filled = length[pivot], first[k]
        pairs += count * (count - 1) // 2
        first[k + 1] = filled + count
        if filled + count > len(column):
            column = _longer(column, filled + count)
        for a in range(count):
            column[filled + a] = pool[begin[pivot] + a]
            mark[column[filled + a]] = k
        for a in range(count):
            i = column[filled + a]
            _remove(head, after, before, i, length[i])
            kept = begin[i]
            for j in range(begin[i], begin[i] + length[i]):
                if pool[j] != pivot and mark[pool[j]] != k:
                    pool[kept] = pool[j]
                    kept += 1
            others = kept - begin[i]
            if others + count - 1 > room[i]:
                room[i] = 2 * (others + count)
                if end + room[i] > len(pool):
                    pool = _longer(pool, end + room[i])
                for j in range(others):
                    pool[end + j] = pool[begin[i] + j]
                begin[i] = end
                end += room[i]
                kept = begin[i] + others
            for b in range(count):
                if b != a:
                    pool[kept] = column[filled + b]
                    kept += 1
            length[i] = others + count - 1
            _insert(head, after, before, i, length[i])
    column, update = _pattern(rank, first, column, pairs, n)
    return order, first, column, update


@subkernel
def _pattern(rank, first, column, pairs, n):  # pragma: no cover
    """Columns as positions in rising order, and the block of every update."""
    column = column[: first[n]].copy()
    for k in range(n):
        for i in range(first[k], first[k + 1]):
            value, j = rank[column[i]], i
            while j > first[k] and column[j - 1] > value:
                column[j] = column[j - 1]
                j -= 1
            column[j] = value
    update, u = np.empty(pairs, np.int32), 0
    for k in range(n):
        for a in range(first[k], first[k + 1]):
            block = first[column[a]]
            for b in range(a + 1, first[k + 1]):
                while column[block] != column[b]:  # all columns of k beyond a are columns of a too, in the same order
                    block += 1
                update[u] = block
                u += 1
    return column, update


@rule
def _insert(head, after, before, i, degree):  # pragma: no cover
    after[i], before[i] = head[degree], -1
    if head[degree] >= 0:
        before[head[degree]] = i
    head[degree] = i


@rule
def _remove(head, after, before, i, degree):  # pragma: no cover
    if before[i] >= 0:
        after[before[i]] = after[i]
    else:
        head[degree] = after[i]
    if after[i] >= 0:
        before[after[i]] = before[i]


@subkernel
def _longer(array, needed):  # pragma: no cover
    longer = np.empty(2 * needed, array.dtype)
    for i in range(len(array)):
        longer[i] = array[i]
    return longer
