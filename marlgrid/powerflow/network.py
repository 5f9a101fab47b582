"""Networks made ready for Newton: admittances on an elimination pattern, worked out once per topology and kept.

The Jacobian of the power flow has one 2 x 2 block per pair of neighbouring buses, and the same pattern for every state
of one topology. Eliminating buses in the order of least degree fills in few blocks. All that depends on the topology
alone stands end to end in flat arrays, found again by a hash of the busbars of the elements.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel, rule, subkernel
from marlgrid.powerflow.buses import BusLayout

CAPACITY_BYTES = 32_000_000
"""Room for networks: when it is full all are forgotten. It grows only where one batch alone needs more."""
TABLE_BYTES = 2048
"""Room per place of the hash table, twice the networks that are kept at most."""
UNKNOWN = -1
"""Slot of a row whose network is yet to be worked out."""


class Networks(NamedTuple):
    """Networks end to end. Memory is taken as they come: pages of the arrays never written to are not held."""

    table: np.ndarray
    """int32, a power of two of places: 1 + slot of the network whose hash leads here, 0 where none does."""
    header: np.ndarray
    """(n_slot, 8) int64: hash, buses besides the slack's (-1 when some bus is cut off from it), blocks, updates, slack
    links, first integer, first admittance, and one to spare."""
    ints: np.ndarray
    """int32 of each network: busbar of each element and shunt (the key); bus of each column of the layout; bus of each
    position and the slack's; generator that leads the voltage there, or -1; first block of each position, and the end;
    column of each block; block of each update; position of each slack link."""
    admittances: np.ndarray
    """float64 per unit, real and imaginary by turns: diagonal, upper and lower part of each block, slack links."""
    weights: np.ndarray
    """(dim_topo + n_shunt,) int64 that the hash sums up."""
    used: np.ndarray
    """(4,) int64: slots, integers and admittances in use, and the slot found last."""


class NetworkStore:
    """The networks met so far, by topology; for one thread at a time."""

    def __init__(self, layout: BusLayout, branch_y: np.ndarray, shunt_y: np.ndarray, regulates: np.ndarray) -> None:
        self._columns = layout.line_or.stop, layout.gen.start, layout.gen.stop, layout.shunt.start, layout.slack
        self._places = layout.position, layout.sub, layout.n_sub, layout.n_bus
        self._grid = branch_y, shunt_y, regulates
        self._weights = np.random.default_rng(0).integers(1, 2**62, len(layout.position) + len(shunt_y))
        self.slots = np.empty((0, 2), dtype=np.int64)
        """(at least n_env, 2): slot and hash of each row, as the last look-up left them."""
        self._allot(CAPACITY_BYTES)

    def _allot(self, n_bytes: int) -> None:
        self._bytes = n_bytes
        n_place = 1 << (n_bytes // TABLE_BYTES).bit_length()
        self.networks = Networks(
            np.zeros(n_place, dtype=np.int32),
            np.zeros((n_place // 2, 8), dtype=np.int64),
            np.zeros(n_bytes // 8, dtype=np.int32),
            np.zeros(n_bytes // 16, dtype=np.float64),
            self._weights,
            np.zeros(4, dtype=np.int64),
        )
        self.arguments = *self.networks, self.slots

    def reserve(self, n_env: int) -> None:
        """Makes ``slots`` long enough."""
        if len(self.slots) < n_env:
            self.slots = np.empty((n_env, 2), dtype=np.int64)
            self.arguments = *self.networks, self.slots

    def learn(self, topo_vect: np.ndarray, shunt_bus: np.ndarray, rows: np.ndarray) -> None:
        """Adds the networks of the rows whose slot is ``UNKNOWN``; without room, forgets those of all rows."""
        fresh = self.networks.used[0] == 0
        if not _learn(self.networks, self._columns, self._places, self._grid, topo_vect, shunt_bus, rows, self.slots):
            self._allot(2 * self._bytes if fresh else self._bytes)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _learn(networks, columns, places, grid, topo_vect, shunt_bus, rows, slots):  # pragma: no cover
    """Works out what is unknown, once for equal rows; False where there is no room."""
    n_env = len(rows)
    for e in range(n_env):
        if not rows[e] or slots[e, 0] != UNKNOWN:
            continue
        slot = _add(networks, columns, places, grid, topo_vect[e], shunt_bus[e], slots[e, 1])
        if slot < 0:
            return False
        for other in range(e, n_env):
            if not rows[other] or slots[other, 0] != UNKNOWN or slots[other, 1] != slots[e, 1]:
                continue
            if _equal(topo_vect, e, other) and _equal(shunt_bus, e, other):
                slots[other, 0] = slot
    return True


@rule
def _equal(values, row, other):  # pragma: no cover
    same = True
    for i in range(values.shape[1]):
        same = same and values[row, i] == values[other, i]
    return same


@rule
def _put(values, count, target, at):  # pragma: no cover
    """The first ``count`` values into ``target`` from ``at`` on."""
    for i in range(count):
        target[at + i] = values[i]


@subkernel
def _add(networks, columns, places, grid, topo_vect, shunt_bus, code):  # pragma: no cover
    """Slot of a new network, -1 without room."""
    n_line, first_gen, last_gen, first_shunt, slack = columns
    position, sub, n_sub, n_bus = places
    branch_y, shunt_y, regulates = grid
    used, n_dim, n_column = networks.used, len(topo_vect), len(sub)
    bus = _buses(topo_vect, shunt_bus, position, sub, n_sub, n_line)
    number, ordered = _number(bus, bus[slack], n_bus)
    n = len(ordered) - 1
    begin, length, pool = _neighbours(bus, number, n, n_line)
    room_ints = n_dim + len(shunt_bus) + n_column
    slot, i, y = used[0], used[1], used[2]
    if slot == len(networks.header) or i + room_ints > len(networks.ints):
        return -1
    header = networks.header[slot]
    header[0], header[1], header[5], header[6] = code, -1, i, y
    if bus[slack] >= 0 and _all_connected(begin, length, pool, n):
        order, first, column, update = _eliminate(begin, length, pool, n)
        n_block, n_update = len(column), len(update)
        links = np.empty(2 * n_line, np.int32)
        link_y = np.empty(4 * n_line)
        place = np.empty(n_bus, np.int32)
        for k in range(n + 1):
            place[ordered[order[k]]] = k
        n_link = 0
        for line in range(n_line):
            if bus[line] >= 0:
                f, t = place[bus[line]], place[bus[n_line + line]]
                if f != t and (f == n or t == n):
                    links[n_link] = f if t == n else t
                    own = branch_y[1, line] if t == n else branch_y[2, line]
                    link_y[2 * n_link], link_y[2 * n_link + 1] = own.real, own.imag
                    n_link += 1
        room_ints += 3 * (n + 1) + n_block + n_update + n_link
        room = 2 * (n + 2 * n_block + n_link)
        if i + room_ints > len(networks.ints) or y + room > len(networks.admittances):
            return -1
        header[1], header[2], header[3], header[4] = n, n_block, n_update, n_link
        ints = networks.ints[i + n_dim + len(shunt_bus) + n_column :]
        leader = ints[n + 1 :]
        for k in range(n + 1):
            ints[k] = ordered[order[k]]
            leader[k] = -1
            ints[2 * (n + 1) + k] = first[k]
        for gen in range(last_gen - first_gen - 1, -1, -1):
            if regulates[gen] and bus[first_gen + gen] >= 0:
                leader[place[bus[first_gen + gen]]] = gen
        leader[n] = slack - first_gen
        tail = 3 * (n + 1)
        _put(column, n_block, ints, tail)
        _put(update, n_update, ints, tail + n_block)
        _put(links, n_link, ints, tail + n_block + n_update)
        values = networks.admittances[y : y + room]
        _admittances(bus, n_line, first_shunt, place, first, column, branch_y, shunt_y, values)
        _put(link_y, 2 * n_link, values, 2 * (n + 2 * n_block))
        used[2] += room
    _put(topo_vect, n_dim, networks.ints, i)
    _put(shunt_bus, len(shunt_bus), networks.ints, i + n_dim)
    _put(bus, n_column, networks.ints, i + n_dim + len(shunt_bus))
    used[0] += 1
    used[1] += room_ints
    last = len(networks.table) - 1
    where = code & last
    while networks.table[where] != 0:
        where = (where + 1) & last
    networks.table[where] = slot + 1
    return slot


@subkernel
def _buses(topo_vect, shunt_bus, position, sub, n_sub, n_line):  # pragma: no cover
    """Global bus of each column of the layout, -1 for none; a line with a single end on a busbar is out."""
    bus = np.empty(len(sub), np.int32)
    n_placed = len(position)
    for i in range(len(sub)):
        local = topo_vect[position[i]] if i < n_placed else shunt_bus[i - n_placed]
        bus[i] = sub[i] + (local - 1) * n_sub if local > 0 else -1
    for line in range(n_line):
        if bus[line] < 0 or bus[n_line + line] < 0:
            bus[line] = bus[n_line + line] = -1
    return bus


@subkernel
def _number(bus, slack_bus, n_bus):  # pragma: no cover
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
def _neighbours(bus, number, n, n_line):  # pragma: no cover
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
def _all_connected(begin, length, pool, n):  # pragma: no cover
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
def _eliminate(begin, length, pool, n):  # pragma: no cover
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
    _put(array, len(array), longer, 0)
    return longer


@subkernel
def _admittances(bus, n_line, first_shunt, place, first, column, branch_y, shunt_y, out):  # pragma: no cover
    """The admittance matrix on the pattern, without the slack."""
    n, n_block = len(first) - 1, len(column)
    out[:] = 0.0
    for line in range(n_line):
        if bus[line] < 0:
            continue
        f, t = place[bus[line]], place[bus[n_line + line]]
        if f < n:
            _accumulate(out, f, branch_y[0, line])
        if t < n:
            _accumulate(out, t, branch_y[3, line])
        if f < n and f == t:
            _accumulate(out, f, branch_y[1, line] + branch_y[2, line])
        elif f < n and t < n:
            block = first[min(f, t)]
            while column[block] != max(f, t):
                block += 1
            _accumulate(out, n + block, branch_y[1, line] if f < t else branch_y[2, line])
            _accumulate(out, n + n_block + block, branch_y[2, line] if f < t else branch_y[1, line])
    for s in range(len(shunt_y)):
        b = bus[first_shunt + s]
        if b >= 0 and place[b] < n:
            _accumulate(out, place[b], shunt_y[s])


@rule
def _accumulate(out, i, y):  # pragma: no cover
    out[2 * i] += y.real
    out[2 * i + 1] += y.imag
