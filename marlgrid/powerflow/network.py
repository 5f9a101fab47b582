"""Networks made ready for Newton: admittances on an elimination pattern, worked out once per topology and kept.

The Jacobian of the power flow has one 2 x 2 block per pair of neighbouring buses, and the same pattern for every state
of one topology. Eliminating buses in the order of least degree fills in few blocks; the order, the pattern with its
fill-in and the admittances are what a topology costs, and stand end to end in two flat arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.powerflow.buses import BusLayout

CAPACITY_BYTES = 32_000_000
"""The networks kept at a time; beyond it all are forgotten."""


class Networks(NamedTuple):
    """Networks end to end: entry ``slot`` of ``header`` says where each part of one begins."""

    header: np.ndarray
    """(n_slot, 6) int64: buses besides the slack's, blocks, updates, slack links, first integer, first admittance."""
    ints: np.ndarray
    """int32: bus of each position, first block of each position (and the end), column of each block, block of each
    update, position of each slack link."""
    admittances: np.ndarray
    """complex per unit: diagonal, upper blocks, lower blocks, slack links."""


class NetworkStore:
    """The networks met so far, by topology."""

    def __init__(self, layout: BusLayout, admittances: np.ndarray, shunt_y: np.ndarray) -> None:
        self.layout, self.branch_y, self.shunt_y = layout, admittances, shunt_y
        self._forget()

    def _forget(self) -> None:
        self.slots: dict[bytes, int] = {}
        self.used = [0, 0]
        self.networks = Networks(
            np.zeros((64, 6), dtype=np.int64), np.zeros(4096, dtype=np.int32), np.zeros(1024, dtype=complex)
        )

    def find(self, buses: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n_env,) int64 slot of each row asked for; -1 for the others and where the slack does not reach every bus."""
        if self.networks.ints.nbytes + self.networks.admittances.nbytes > CAPACITY_BYTES:
            self._forget()
        slots = np.full(len(buses), -1, dtype=np.int64)
        for env in np.flatnonzero(rows).tolist():
            key = buses[env].tobytes()
            slot = self.slots.get(key)
            if slot is None:
                slot = self.slots[key] = self._add(buses[env])
            slots[env] = slot
        return slots

    def _add(self, bus: np.ndarray) -> int:
        layout = self.layout
        if not layout.connected(bus[None], np.ones(1, dtype=bool))[0]:
            return -1
        counts, ints, admittances = _analyse(
            bus, layout.line_or.stop, layout.shunt.start, layout.slack, layout.n_bus, self.branch_y, self.shunt_y
        )
        slot = len(self.slots)
        header, all_ints, all_admittances = self.networks
        header = _with_room(header, slot + 1)
        all_ints = _with_room(all_ints, self.used[0] + len(ints))
        all_admittances = _with_room(all_admittances, self.used[1] + len(admittances))
        header[slot] = (*counts, *self.used)
        all_ints[self.used[0] : self.used[0] + len(ints)] = ints
        all_admittances[self.used[1] : self.used[1] + len(admittances)] = admittances
        self.used = [self.used[0] + len(ints), self.used[1] + len(admittances)]
        self.networks = Networks(header, all_ints, all_admittances)
        return slot


def _with_room(array: np.ndarray, needed: int) -> np.ndarray:
    """The array, or a copy twice as long, or longer, when it is too short."""
    if needed <= len(array):
        return array
    longer = np.zeros((max(needed, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _analyse(bus, n_line, first_shunt, slack, n_bus, branch_y, shunt_y):  # pragma: no cover
    slack_bus = bus[slack]
    number, buses = _number(bus, slack_bus, n_bus)
    n = len(buses)
    linked = np.zeros((n, n), np.bool_)
    for line in range(n_line):
        if bus[line] >= 0:
            a, b = number[bus[line]], number[bus[n_line + line]]
            if a >= 0 and b >= 0 and a != b:
                linked[a, b] = linked[b, a] = True
    order, first, column, update = _eliminate(linked)
    position = np.full(n_bus, -1, np.int32)
    ordered = np.empty(n, np.int32)
    for k in range(n):
        ordered[k] = buses[order[k]]
        position[ordered[k]] = k
    diagonal, upper, lower, links, link_y = _admittances(
        bus, n_line, first_shunt, slack_bus, position, first, column, branch_y, shunt_y
    )
    counts = (n, len(column), len(update), len(links))
    ints = np.concatenate((ordered, first, column, update, links))
    return counts, ints, np.concatenate((diagonal, upper, lower, link_y))


@kernel
def _number(bus, slack_bus, n_bus):  # pragma: no cover
    """Numbers of the buses in use besides the slack's, -1 for the others; and those buses."""
    number = np.full(n_bus, -1, np.int32)
    for b in bus:
        if b >= 0 and b != slack_bus:
            number[b] = 0
    n = 0
    buses = np.empty(n_bus, np.int32)
    for b in range(n_bus):
        if number[b] == 0:
            number[b] = n
            buses[n] = b
            n += 1
    return number, buses[:n]


@kernel
def _eliminate(linked):  # pragma: no cover
    """Order of least degree, and the pattern with fill-in.

    Eliminating position k links all its remaining neighbours; each pair (a, b) of them is updated, a == b being the
    diagonal: ``update`` holds the block of every pair a < b, position by position.
    """
    n = len(linked)
    order, rank = np.empty(n, np.int32), np.full(n, n, np.int32)
    degree = np.empty(n, np.int64)
    for i in range(n):
        degree[i] = linked[i].sum()
    neighbours, first = np.empty(n, np.int32), np.zeros(n + 1, np.int32)
    pairs = 0
    for k in range(n):
        pivot = -1
        for i in range(n):
            if rank[i] == n and (pivot < 0 or degree[i] < degree[pivot]):
                pivot = i
        order[k], rank[pivot] = pivot, k
        count = 0
        for i in range(n):
            if linked[pivot, i] and rank[i] == n:
                neighbours[count] = i
                count += 1
        first[k + 1] = first[k] + count
        pairs += count * (count - 1) // 2
        for a in range(count):
            i = neighbours[a]
            degree[i] -= 1
            for b in range(a):
                j = neighbours[b]
                if not linked[i, j]:
                    linked[i, j] = linked[j, i] = True
                    degree[i] += 1
                    degree[j] += 1
    column = np.empty(first[n], np.int32)
    for k in range(n):
        c = first[k]
        for later in range(k + 1, n):
            if linked[order[k], order[later]]:
                column[c] = later
                c += 1
    update = np.empty(pairs, np.int32)
    u = 0
    for k in range(n):
        for a in range(first[k], first[k + 1]):
            for b in range(a + 1, first[k + 1]):
                update[u] = _block(first, column, column[a], column[b])
                u += 1
    return order, first, column, update


@kernel
def _block(first, column, a, b):  # pragma: no cover
    """Number of the block of positions a < b."""
    for i in range(first[a], first[a + 1]):
        if column[i] == b:
            return i
    return -1


@kernel
def _admittances(bus, n_line, first_shunt, slack_bus, position, first, column, branch_y, shunt_y):  # pragma: no cover
    """The admittance matrix on the pattern; links to the slack bus stand apart."""
    n = len(first) - 1
    diagonal = np.zeros(n, np.complex128)
    upper, lower = np.zeros(len(column), np.complex128), np.zeros(len(column), np.complex128)
    links, link_y = np.empty(2 * n_line, np.int32), np.empty(2 * n_line, np.complex128)
    n_link = 0
    for line in range(n_line):
        if bus[line] < 0:
            continue
        f, t = position[bus[line]], position[bus[n_line + line]]
        if f >= 0:
            diagonal[f] += branch_y[0, line]
        if t >= 0:
            diagonal[t] += branch_y[3, line]
        if f >= 0 and t >= 0:
            if f == t:
                diagonal[f] += branch_y[1, line] + branch_y[2, line]
                continue
            block = _block(first, column, min(f, t), max(f, t))
            upper[block] += branch_y[1, line] if f < t else branch_y[2, line]
            lower[block] += branch_y[2, line] if f < t else branch_y[1, line]
        elif f >= 0 or t >= 0:
            links[n_link] = f if f >= 0 else t
            link_y[n_link] = branch_y[1, line] if f >= 0 else branch_y[2, line]
            n_link += 1
    for s in range(len(shunt_y)):
        b = bus[first_shunt + s]
        if b >= 0 and b != slack_bus:
            diagonal[position[b]] += shunt_y[s]
    return diagonal, upper, lower, links[:n_link], link_y[:n_link]
