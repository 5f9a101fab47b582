"""A compiled Newton-Raphson for batches: no Python between rows, no conversion, no lock held.

Polar coordinates, relative voltage steps, sparse block elimination on the pattern of each topology (``network``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from marlgrid.compiled import kernel, rule
from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, plain_input
from marlgrid.powerflow.buses import BusLayout
from marlgrid.powerflow.flows import FlowModel
from marlgrid.powerflow.network import NetworkStore
from marlgrid.powerflow.setpoints import first_guess, set_points

TOLERANCE = 1e-10
"""Largest mismatch of a solution, per unit."""
MAX_ITERATIONS = 10
COLLAPSED = 0.5
"""Per unit: no bus of a normal solution is below."""


class NewtonPowerFlow:
    """AC power flow (single slack, no reactive limits, storages at zero reactive power)."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._layout = BusLayout.of(grid)
        self._model = FlowModel.of(grid, self._layout)
        shunt_y = np.conj(self._model.shunt_s) / grid.sn_mva
        self._store = NetworkStore(self._layout, self._model.admittances, shunt_y)
        self._vn_kv = np.ascontiguousarray(grid.sub_vn_kv[grid.gen_to_subid], dtype=float)

    def __getstate__(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["grid"])  # type: ignore[misc]

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        """See ``PowerFlow.solve``; ``start`` is (n_env, n_bus) complex per unit, zeros for a cold start."""
        inputs = plain_input(inputs)
        layout, model = self._layout, self._model
        regulates = model.constants.gen_regulates
        buses = layout.buses(inputs.topo_vect, inputs.shunt_bus)
        slots = self._store.find(buses, rows)
        v_set = np.empty(inputs.gen_v.shape)
        set_points(buses, layout.gen.start, inputs.gen_v, self._vn_kv, self.grid.slack_gen, regulates, v_set)
        voltage, warm = np.empty(start.shape, dtype=complex), np.empty(len(start), dtype=bool)
        first_guess(buses, layout.slack, start, layout.n_sub, voltage, warm)
        converged = np.zeros(len(start), dtype=bool)
        _solve(
            self._store.networks,
            slots,
            buses,
            (layout.gen.start, layout.load.start, layout.storage.start, layout.slack),
            (inputs.gen_p, v_set, inputs.load_p, inputs.load_q, inputs.storage_p),
            regulates,
            model.constants.gen_q_mvar,
            self.grid.sn_mva,
            warm,
            voltage,
            converged,
        )
        return model.flow(inputs, buses, voltage, converged)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _solve(  # pragma: no cover
    networks, slots, buses, columns, injections, regulates, gen_q, sn_mva, warm, voltage, converged
):
    n_bus = voltage.shape[1]
    wanted = np.empty(n_bus, np.complex128)
    held = np.empty(n_bus, np.float64)
    for e in range(len(slots)):
        if slots[e] < 0:
            continue
        _specify(e, buses[e], columns, injections, regulates, gen_q, sn_mva, wanted, held)
        network = _network(networks, slots[e])
        slack_bus = buses[e, columns[3]]
        if warm[e]:
            guess = voltage[e].copy()
            _hold(network, slack_bus, held, voltage[e])
            converged[e] = _newton(network, slack_bus, wanted, held, voltage[e])
            # a warm start may find collapsed voltages where a normal solution exists: it is not trusted then
            if not converged[e] or _lowest(network, voltage[e]) < COLLAPSED:
                converged[e] = False
                voltage[e] = guess
        if not converged[e]:
            _linear_guess(network, slack_bus, wanted, held, voltage[e])
            converged[e] = _newton(network, slack_bus, wanted, held, voltage[e])


@kernel
def _network(networks, slot):  # pragma: no cover
    """Views of one network's parts."""
    n, n_block, n_update, n_link, i, y = networks.header[slot]
    ints, admittances = networks.ints[i:], networks.admittances[y:]
    bus, ints = ints[:n], ints[n:]
    first, ints = ints[: n + 1], ints[n + 1 :]
    column, ints = ints[:n_block], ints[n_block:]
    update, links = ints[:n_update], ints[n_update : n_update + n_link]
    diagonal, admittances = admittances[:n], admittances[n:]
    upper, lower = admittances[:n_block], admittances[n_block : 2 * n_block]
    return bus, first, column, update, links, diagonal, upper, lower, admittances[2 * n_block : 2 * n_block + n_link]


@rule
def _specify(e, bus, columns, injections, regulates, gen_q, sn_mva, wanted, held):  # pragma: no cover
    """Per bus: injected power in per unit, and the voltage held by generators (0 where none is)."""
    first_gen, first_load, first_storage, _ = columns
    gen_p, v_set, load_p, load_q, storage_p = injections
    wanted[:] = 0.0
    held[:] = 0.0
    for g in range(gen_p.shape[1]):
        b = bus[first_gen + g]
        if b >= 0:
            wanted[b] += gen_p[e, g]
            if regulates[g]:
                held[b] = v_set[e, g]
            else:
                wanted[b] += 1j * gen_q[g]
    for i in range(load_p.shape[1]):
        b = bus[first_load + i]
        if b >= 0:
            wanted[b] -= load_p[e, i] + 1j * load_q[e, i]
    for s in range(storage_p.shape[1]):
        b = bus[first_storage + s]
        if b >= 0:
            wanted[b] -= storage_p[e, s]
    for b in range(len(wanted)):
        wanted[b] /= sn_mva


@rule
def _hold(network, slack_bus, held, voltage):  # pragma: no cover
    """Sets the magnitudes that generators hold, and the slack's angle to zero."""
    voltage[slack_bus] = held[slack_bus]
    for b in network[0]:
        if held[b] > 0:
            voltage[b] *= held[b] / abs(voltage[b])


@kernel
def _newton(network, slack_bus, wanted, held, voltage):  # pragma: no cover
    """Iterates until no mismatch exceeds the tolerance; False if it does not come to that."""
    bus, first, column, update, links, diagonal, upper, lower, link_y = network
    n, n_block = len(bus), len(column)
    v, injected, mismatch = np.empty(n, np.complex128), np.empty(n, np.complex128), np.empty((n, 2))
    pivot, above, below = np.empty((n, 4)), np.empty((n_block, 4)), np.empty((n_block, 4))
    for k in range(n):
        v[k] = voltage[bus[k]]
    for iteration in range(MAX_ITERATIONS + 1):
        _inject(v, voltage[slack_bus], first, column, links, diagonal, upper, lower, link_y, injected)
        worst = 0.0
        for k in range(n):
            gap = wanted[bus[k]] - injected[k]
            mismatch[k, 0] = gap.real
            mismatch[k, 1] = 0.0 if held[bus[k]] > 0 else gap.imag
            worst = max(worst, abs(mismatch[k, 0]), abs(mismatch[k, 1]))
        if not worst < 1e6:  # also not a number
            return False
        if worst < TOLERANCE:
            for k in range(n):
                voltage[bus[k]] = v[k]
            return True
        if iteration == MAX_ITERATIONS:
            return False
        _jacobian(v, injected, bus, held, first, column, diagonal, upper, lower, pivot, above, below)
        _eliminate_and_solve(first, column, update, pivot, above, below, mismatch)
        for k in range(n):
            angle = mismatch[k, 0]
            v[k] *= (1.0 + mismatch[k, 1]) * complex(np.cos(angle), np.sin(angle))
    return False


@rule
def _lowest(network, voltage):  # pragma: no cover
    """Smallest voltage of the buses in use."""
    lowest = np.inf
    for b in network[0]:
        lowest = min(lowest, abs(voltage[b]))
    return lowest


@rule
def _inject(v, slack_v, first, column, links, diagonal, upper, lower, link_y, injected):  # pragma: no cover
    """S = V conj(Y V) at each position."""
    for k in range(len(v)):
        injected[k] = diagonal[k] * v[k]
    for k in range(len(v)):
        for i in range(first[k], first[k + 1]):
            injected[k] += upper[i] * v[column[i]]
            injected[column[i]] += lower[i] * v[k]
    for i in range(len(links)):
        injected[links[i]] += link_y[i] * slack_v
    for k in range(len(v)):
        injected[k] = v[k] * np.conj(injected[k])


@rule
def _jacobian(v, injected, bus, held, first, column, diagonal, upper, lower, pivot, above, below):  # pragma: no cover
    """Blocks (dP/dangle, dP/dstep, dQ/dangle, dQ/dstep); a held voltage has the equation step = 0 instead of Q."""
    for k in range(len(v)):
        own = (v[k].real ** 2 + v[k].imag ** 2) * np.conj(diagonal[k])
        s = injected[k]
        free = held[bus[k]] == 0
        pivot[k, 0] = own.imag - s.imag
        pivot[k, 1] = s.real + own.real if free else 0.0
        pivot[k, 2] = s.real - own.real if free else 0.0
        pivot[k, 3] = s.imag + own.imag if free else 1.0
        for i in range(first[k], first[k + 1]):
            j = column[i]
            _coupling(v[k] * np.conj(upper[i] * v[j]), held[bus[k]] > 0, held[bus[j]] > 0, above[i])
            _coupling(v[j] * np.conj(lower[i] * v[k]), held[bus[j]] > 0, held[bus[k]] > 0, below[i])


@rule
def _coupling(a, row_held, column_held, block):  # pragma: no cover
    block[0] = a.imag
    block[1] = 0.0 if column_held else a.real
    block[2] = 0.0 if row_held else -a.real
    block[3] = 0.0 if row_held or column_held else a.imag


@rule
def _eliminate_and_solve(first, column, update, pivot, above, below, x):  # pragma: no cover
    """Block LU without pivoting between blocks, and both substitutions, in place."""
    n = len(pivot)
    u = 0
    for k in range(n):
        _invert(pivot[k])
        begin, end = first[k], first[k + 1]
        for i in range(begin, end):
            _multiply(below[i], pivot[k])
            row = column[i]
            x[row, 0] -= below[i, 0] * x[k, 0] + below[i, 1] * x[k, 1]
            x[row, 1] -= below[i, 2] * x[k, 0] + below[i, 3] * x[k, 1]
        for i in range(begin, end):
            _subtract(below[i], above[i], pivot[column[i]])
            for j in range(i + 1, end):
                _subtract(below[i], above[j], above[update[u]])
                _subtract(below[j], above[i], below[update[u]])
                u += 1
    for k in range(n - 1, -1, -1):
        p, q = x[k, 0], x[k, 1]
        for i in range(first[k], first[k + 1]):
            j = column[i]
            p -= above[i, 0] * x[j, 0] + above[i, 1] * x[j, 1]
            q -= above[i, 2] * x[j, 0] + above[i, 3] * x[j, 1]
        x[k, 0] = pivot[k, 0] * p + pivot[k, 1] * q
        x[k, 1] = pivot[k, 2] * p + pivot[k, 3] * q


@rule
def _invert(a):  # pragma: no cover
    scale = 1.0 / (a[0] * a[3] - a[1] * a[2])
    a[0], a[3] = a[3] * scale, a[0] * scale
    a[1] *= -scale
    a[2] *= -scale


@rule
def _multiply(a, b):  # pragma: no cover
    """Puts the product of two 2 x 2 blocks in the place of the first."""
    first, second = a[0], a[2]
    a[0], a[1] = first * b[0] + a[1] * b[2], first * b[1] + a[1] * b[3]
    a[2], a[3] = second * b[0] + a[3] * b[2], second * b[1] + a[3] * b[3]


@rule
def _subtract(a, b, out):  # pragma: no cover
    """Takes the product of two 2 x 2 blocks off a third."""
    out[0] -= a[0] * b[0] + a[1] * b[2]
    out[1] -= a[0] * b[1] + a[1] * b[3]
    out[2] -= a[2] * b[0] + a[3] * b[2]
    out[3] -= a[2] * b[1] + a[3] * b[3]


@kernel
def _linear_guess(network, slack_bus, wanted, held, voltage):  # pragma: no cover
    """Angles of the linear (DC) power flow, magnitudes held or 1: where a cold start begins."""
    bus, first, column, update, links, _, upper, _, link_y = network
    n, n_block = len(bus), len(column)
    pivot, above, below = np.zeros((n, 4)), np.zeros((n_block, 4)), np.zeros((n_block, 4))
    x = np.zeros((n, 2))
    for k in range(n):
        pivot[k, 3] = 1.0
        x[k, 0] = wanted[bus[k]].real
    for k in range(n):
        for i in range(first[k], first[k + 1]):
            b = upper[i].imag
            above[i, 0] = below[i, 0] = -b
            pivot[k, 0] += b
            pivot[column[i], 0] += b
    for i in range(len(links)):
        pivot[links[i], 0] += link_y[i].imag
    _eliminate_and_solve(first, column, update, pivot, above, below, x)
    voltage[slack_bus] = held[slack_bus]
    for k in range(n):
        magnitude = held[bus[k]] if held[bus[k]] > 0 else 1.0
        angle = x[k, 0] if np.isfinite(x[k, 0]) else 0.0  # lines without reactance may leave no linear solution
        voltage[bus[k]] = magnitude * complex(np.cos(angle), np.sin(angle))
