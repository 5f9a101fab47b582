"""Networks made ready for Newton: admittances on an elimination pattern, worked out once per topology and kept.

The Jacobian of the power flow has one 2 x 2 block per pair of neighbouring buses, and the same pattern for every state
of one topology. Eliminating buses in the order of least degree fills in few blocks. All that depends on the topology
alone stands end to end in flat arrays, found again by a hash of the busbars of the elements.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from marlgrid.blocks import Layout
from marlgrid.compiled import arithmetic, rule, subkernel
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.flows import FlowModel
from marlgrid.powerflow.ordering import all_connected, eliminate, neighbours, number_buses

CAPACITY_BYTES = 32_000_000
"""Room for networks: when it is full all are forgotten. It grows only where one batch alone needs more."""
TABLE_BYTES = 2048
"""Room per place of the hash table, twice the networks that are kept at most."""
UNKNOWN, NOT_ASKED = -1, -2
"""Slots of rows whose network is yet to be worked out, and of rows that are not to be solved."""


class Networks(NamedTuple):
    """Networks end to end. Memory is taken as they come: pages of the arrays never written to are not held."""

    table: Annotated[np.ndarray, "entry", "i4"]
    """int32, a power of two of places: 1 + slot of the network whose hash leads here, 0 where none does."""
    header: Annotated[np.ndarray, "slot part", "i8"]
    """(n_slot, 8) int64: hash, buses besides the slack's (-1 when some bus is cut off from it), blocks, updates, slack
    links, first integer, first admittance, and one to spare."""
    ints: Annotated[np.ndarray, "integer", "i4"]
    """int32 of each network: busbar of each element and shunt (the key); bus of each column of the layout; bus of each
    position and the slack's; generator that leads the voltage there, or -1; first block of each position, and the end;
    column of each block; block of each update; position of each slack link."""
    admittances: Annotated[np.ndarray, "number", "f8"]
    """float64 per unit, real and imaginary by turns: diagonal, upper and lower part of each block, slack links."""
    keys: Annotated[np.ndarray, "key", "i8"]
    """int64: weight in the hash of each entry of a key; of each column of the layout its place in the key, its sub."""
    used: Annotated[np.ndarray, "count", "i8"]
    """(4,) int64: slots, integers and admittances in use, and the slot found last."""
    sizes: Annotated[np.ndarray, "size", "i8"]
    constants: Annotated[np.ndarray, "constant", "f8"]
    """Of the grid, see ``flows.FlowModel``."""


LAYOUT = Layout(Networks, batched=False)
view_networks = LAYOUT.view
"""Compiled: the networks of a block."""


class NetworkStore:
    """The networks met so far, by topology; for one thread at a time."""

    def __init__(self, layout: BusLayout, model: FlowModel) -> None:
        n_placed, n_column = len(layout.position), len(layout.sub)
        weights = np.random.default_rng(0).integers(1, 2**62, n_column)
        place = np.concatenate([layout.position, np.arange(n_placed, n_column)])
        self._fixed = {
            "keys": np.concatenate([weights, place, layout.sub]), "sizes": model.sizes, "constants": model.constants
        }  # fmt: skip
        self._n_bytes = CAPACITY_BYTES
        self._allot()

    def _allot(self) -> None:
        n_entry, fixed = 1 << (self._n_bytes // TABLE_BYTES).bit_length(), self._fixed
        self.block, self.networks = LAYOUT.new(
            entry=n_entry, slot=n_entry // 2, part=8, integer=self._n_bytes // 8, number=self._n_bytes // 16, count=4,
            key=len(fixed["keys"]), size=len(fixed["sizes"]), constant=len(fixed["constants"]),
        )  # fmt: skip
        for name, values in fixed.items():
            getattr(self.networks, name)[:] = values

    def clear(self, larger: bool) -> None:
        """Forgets all networks; ``larger`` where one batch alone has too many."""
        if larger:
            self._n_bytes *= 2
            self._allot()
        else:  # pages that are held already are written to sooner than new ones
            self.networks.table[:] = 0
            self.networks.used[:] = 0


# ---------------------------------------------------------------------------------------------------- looked up
@arithmetic
def look_up(networks, topo_vect, shunt_bus, rows, slots) -> int:  # pragma: no cover
    """Writes the slot of every row, and its hash, into ``slots`` (n_env, 2).

    Returns the room that solving them takes, -1 if one is unknown.
    """
    table, header, ints, keys, used = networks.table, networks.header, networks.ints, networks.keys, networks.used
    room, unknown, slot = 0, False, used[3]
    for e in range(len(rows)):
        if not rows[e]:
            slots[e, 0] = NOT_ASKED
            continue
        if slot >= used[0] or not _same(topo_vect[e], shunt_bus[e], ints, header[slot, 5]):
            code = _hash(topo_vect[e], shunt_bus[e], keys)
            slots[e, 1] = code
            where = code & (len(table) - 1)
            slot = table[where] - 1
            while slot >= 0 and not (
                header[slot, 0] == code and _same(topo_vect[e], shunt_bus[e], ints, header[slot, 5])
            ):
                where = (where + 1) & (len(table) - 1)
                slot = table[where] - 1
        slots[e, 0] = slot
        if slot < 0:
            unknown, slot = True, used[0]
        else:
            room = max(room, 14 * (header[slot, 1] + 1) + 8 * header[slot, 2])
            used[3] = slot
    return -1 if unknown else room


@arithmetic
def _same(topo_vect, shunt_bus, ints, begin):  # pragma: no cover
    """Whether a key is that of the network."""
    difference, n = 0, len(topo_vect)
    for i in range(n):
        difference |= topo_vect[i] ^ ints[begin + i]
    for i in range(len(shunt_bus)):
        difference |= shunt_bus[i] ^ ints[begin + n + i]
    return difference == 0


@arithmetic
def _hash(topo_vect, shunt_bus, keys):  # pragma: no cover
    code, n = np.int64(0), len(topo_vect)
    for i in range(n):
        code += topo_vect[i] * keys[i]
    for i in range(len(shunt_bus)):
        code += shunt_bus[i] * keys[n + i]
    return code ^ (code >> 29)


@subkernel
def network_of(slot, skipped, networks) -> tuple[np.ndarray, ...]:  # pragma: no cover
    """Views of one network's parts: see ``Networks``."""
    header, ints, admittances = networks.header, networks.ints, networks.admittances
    n, n_block, n_update, n_link = header[slot, 1], header[slot, 2], header[slot, 3], header[slot, 4]
    i, y = header[slot, 5] + skipped, header[slot, 6]
    bus, leader, first = ints[i : i + n + 1], ints[i + n + 1 : i + 2 * n + 2], ints[i + 2 * n + 2 : i + 3 * n + 3]
    i += 3 * n + 3
    column, update = ints[i : i + n_block], ints[i + n_block : i + n_block + n_update]
    links = ints[i + n_block + n_update : i + n_block + n_update + n_link]
    diagonal, upper = admittances[y : y + 2 * n], admittances[y + 2 * n : y + 2 * n + 2 * n_block]
    y += 2 * n + 2 * n_block
    lower, link_y = admittances[y : y + 2 * n_block], admittances[y + 2 * n_block : y + 2 * n_block + 2 * n_link]
    return bus, leader, first, column, update, links, diagonal, upper, lower, link_y


# ---------------------------------------------------------------------------------------------------- worked out
@subkernel
def learn(networks, topo_vect, shunt_bus, rows, slots) -> bool:  # pragma: no cover
    """Works out the networks of the rows whose slot is ``UNKNOWN``, once for equal rows; False without room."""
    n_env = len(rows)
    for e in range(n_env):
        if not rows[e] or slots[e, 0] != UNKNOWN:
            continue
        slot = _add(networks, topo_vect[e], shunt_bus[e], slots[e, 1])
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
def _add(networks, topo_vect, shunt_bus, code):  # pragma: no cover
    """Slot of a new network, -1 without room."""
    table, header, ints, keys = networks.table, networks.header, networks.ints, networks.keys
    used, sizes = networks.used, networks.sizes
    n_line, n_dim, n_shunt = sizes[0], len(topo_vect), len(shunt_bus)
    n_key = n_dim + n_shunt
    n_column = (len(keys) - n_key) // 2
    bus = _buses(topo_vect, shunt_bus, keys[n_key:], n_column, n_line, sizes[6])
    slack = bus[2 * n_line + sizes[7]]
    number, ordered = number_buses(bus, slack, sizes[5])
    n = len(ordered) - 1
    begin, length, pool = neighbours(bus, number, n, n_line)
    room = n_key + n_column
    slot, i = used[0], used[1]
    if slot == len(header) or i + room > len(ints):
        return -1
    header[slot, 0], header[slot, 1], header[slot, 5], header[slot, 6] = code, -1, i, used[2]
    if slack >= 0 and all_connected(begin, length, pool, n):
        order, first, column, update = eliminate(begin, length, pool, n)
        more = _store(networks, slot, i + room, bus, ordered, order, first, column, update)
        if more < 0:
            return -1
        room += more
    _put(topo_vect, n_dim, ints, i)
    _put(shunt_bus, n_shunt, ints, i + n_dim)
    _put(bus, n_column, ints, i + n_key)
    used[0] += 1
    used[1] += room
    last = len(table) - 1
    where = code & last
    while table[where] != 0:
        where = (where + 1) & last
    table[where] = slot + 1
    return slot


@subkernel
def _store(networks, slot, i, bus, ordered, order, first, column, update):  # pragma: no cover
    """Writes a network's parts, from integer ``i`` on; how many integers it has, -1 without room."""
    header, ints, admittances, used = networks.header, networks.ints, networks.admittances, networks.used
    sizes, constants = networks.sizes, networks.constants
    n_line, n_bus, y = sizes[0], sizes[5], used[2]
    n, n_block, n_update = len(order) - 1, len(column), len(update)
    line = constants[1 + n_bus :]
    gen = line[10 * n_line :]
    shunt = gen[5 * sizes[1] :]
    links, link_y = np.empty(2 * n_line, np.int32), np.empty(4 * n_line)
    place = np.empty(n_bus, np.int32)
    for k in range(n + 1):
        place[ordered[order[k]]] = k
    n_link = 0
    for l in range(n_line):
        if bus[l] >= 0:
            f, t = place[bus[l]], place[bus[n_line + l]]
            if f != t and (f == n or t == n):
                links[n_link] = f if t == n else t
                own = 10 * l + (2 if t == n else 4)
                link_y[2 * n_link], link_y[2 * n_link + 1] = line[own], line[own + 1]
                n_link += 1
    room_ints = 3 * (n + 1) + n_block + n_update + n_link
    room = 2 * (n + 2 * n_block + n_link)
    if i + room_ints > len(ints) or y + room > len(admittances):
        return -1
    header[slot, 1], header[slot, 2], header[slot, 3], header[slot, 4] = n, n_block, n_update, n_link
    leader = ints[i + n + 1 :]
    for k in range(n + 1):
        ints[i + k] = ordered[order[k]]
        leader[k] = -1
        ints[i + 2 * (n + 1) + k] = first[k]
    for g in range(sizes[1] - 1, -1, -1):
        if gen[5 * g + 3] != 0.0 and bus[2 * n_line + g] >= 0:
            leader[place[bus[2 * n_line + g]]] = g
    leader[n] = sizes[7]
    tail = i + 3 * (n + 1)
    _put(column, n_block, ints, tail)
    _put(update, n_update, ints, tail + n_block)
    _put(links, n_link, ints, tail + n_block + n_update)
    values = admittances[y : y + room]
    _admittances(bus, n_line, len(bus) - sizes[4], place, first, column, line, shunt, values)
    _put(link_y, 2 * n_link, values, 2 * (n + 2 * n_block))
    used[2] += room
    return room_ints


@subkernel
def _buses(topo_vect, shunt_bus, columns, n_column, n_line, n_sub):  # pragma: no cover
    """Global bus of each column of the layout, -1 for none; a line with a single end on a busbar is out."""
    bus = np.empty(n_column, np.int32)
    n_dim = len(topo_vect)
    for i in range(n_column):
        place = columns[i]
        local = topo_vect[place] if place < n_dim else shunt_bus[place - n_dim]
        bus[i] = columns[n_column + i] + (local - 1) * n_sub if local > 0 else -1
    for line in range(n_line):
        if bus[line] < 0 or bus[n_line + line] < 0:
            bus[line] = bus[n_line + line] = -1
    return bus


@subkernel
def _admittances(bus, n_line, first_shunt, place, first, column, line, shunt, out):  # pragma: no cover
    """The admittance matrix on the pattern, without the slack."""
    n, n_block = len(first) - 1, len(column)
    for i in range(len(out)):
        out[i] = 0.0
    for l in range(n_line):
        if bus[l] < 0:
            continue
        f, t, y = place[bus[l]], place[bus[n_line + l]], line[10 * l : 10 * l + 8]
        if f < n:
            _accumulate(out, f, y[0], y[1])
        if t < n:
            _accumulate(out, t, y[6], y[7])
        if f < n and f == t:
            _accumulate(out, f, y[2] + y[4], y[3] + y[5])
        elif f < n and t < n:
            block = first[min(f, t)]
            while column[block] != max(f, t):
                block += 1
            upper, lower = (2, 4) if f < t else (4, 2)
            _accumulate(out, n + block, y[upper], y[upper + 1])
            _accumulate(out, n + n_block + block, y[lower], y[lower + 1])
    for s in range(len(shunt) // 4):
        b = bus[first_shunt + s]
        if b >= 0 and place[b] < n:
            _accumulate(out, place[b], shunt[4 * s + 2], shunt[4 * s + 3])


@rule
def _accumulate(out, i, re, im):  # pragma: no cover
    out[2 * i] += re
    out[2 * i + 1] += im
