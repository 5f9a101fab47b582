"""Inputs for solvers: operating points and random states of a grid."""

from __future__ import annotations

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput
from marlgrid.powerflow.buses import BusLayout


def operating_point(grid: Grid, n_env: int = 1) -> PowerFlowInput:
    """The state of the file the grid was read from, repeated."""
    values = grid.gen_p_mw, grid.gen_v_kv, grid.load_p_mw, grid.load_q_mvar, np.zeros(grid.n_storage)
    return PowerFlowInput(
        np.tile(grid.start_topo_vect, (n_env, 1)),
        np.ones((n_env, grid.n_shunt), dtype=np.int32),
        *(np.tile(value, (n_env, 1)) for value in values),
    )


def cold(grid: Grid, n_env: int = 1) -> np.ndarray:
    return np.zeros((n_env, grid.n_bus), dtype=complex)


def every_row(n_env: int) -> np.ndarray:
    return np.ones(n_env, dtype=bool)


def random_states(grid: Grid, n_env: int, seed: int) -> PowerFlowInput:
    """Injections around the operating point, up to two lines out, up to two substations split at random."""
    rng = np.random.default_rng(seed)
    inputs = operating_point(grid, n_env)
    level = rng.uniform(0.6, 1.1, (n_env, 1))
    vary = lambda value, low, high: value * rng.uniform(low, high, value.shape)  # noqa: E731
    inputs = inputs._replace(
        load_p=vary(inputs.load_p * level, 0.8, 1.2),
        load_q=vary(inputs.load_q * level, 0.8, 1.2),
        gen_p=vary(inputs.gen_p * level, 0.8, 1.2),
        gen_v=vary(inputs.gen_v, 0.99, 1.01),
        storage_p=rng.uniform(-5, 5, inputs.storage_p.shape),
    )
    layout = grid.topology_layout
    for env in range(n_env):
        for sub in rng.choice(grid.n_sub, rng.integers(0, 3), replace=False):
            places = layout.sub == sub
            inputs.topo_vect[env, places] = rng.integers(1, grid.n_busbar + 1, places.sum())
            shunts = grid.shunt_to_subid == sub
            inputs.shunt_bus[env, shunts] = rng.integers(1, grid.n_busbar + 1, shunts.sum())
        for line in rng.choice(grid.n_line, rng.integers(0, 3), replace=False):
            inputs.topo_vect[env, [layout.line_or[line], layout.line_ex[line]]] = -1
    return inputs


def bus_sums(grid: Grid, buses: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n_env, n_bus) sum of what the elements on each bus have; -1 is no bus."""
    sums = np.zeros((len(buses), grid.n_bus))
    for env in range(len(buses)):
        on = buses[env] >= 0
        np.add.at(sums[env], buses[env][on], values[env][on])
    return sums


def largest_mismatch(grid: Grid, inputs: PowerFlowInput, flow: Flow) -> float:
    """MW or MVAr: by how much Kirchhoff's law is broken at the worst bus of the converged rows."""
    layout = BusLayout.of(grid)
    buses = layout.buses(inputs.topo_vect, inputs.shunt_bus)[flow.converged]
    none = np.zeros_like(flow.storage_p)
    worst = 0.0
    for leaving in (
        (flow.p_or, flow.p_ex, -flow.gen_p, flow.load_p, flow.storage_p, flow.shunt_p),
        (flow.q_or, flow.q_ex, -flow.gen_q, flow.load_q, none, flow.shunt_q),
    ):
        sums = bus_sums(grid, buses, np.concatenate(leaving, axis=1)[flow.converged])
        worst = max(worst, float(np.abs(sums).max(initial=0)))
    return worst


def rows_of(record, rows):
    """Some rows of an input or a flow."""
    return type(record)(*(array[rows] for array in record))


def largest_difference(grid: Grid, a: Flow, b: Flow) -> dict[str, float]:
    """Largest difference of each kind of quantity over all elements and rows: per unit, and radian for angles."""
    scale = {"p": grid.sn_mva, "q": grid.sn_mva, "theta": 180 / np.pi}
    differences: dict[str, float] = {}
    for name in Flow._fields:
        x, y = getattr(a, name), getattr(b, name)
        kind = next((part for part in name.split("_") if part in ("p", "q", "v", "theta")), None)
        if kind is None or not x.size:
            continue
        if kind == "v":
            element = next(part for part in ("or", "ex", "gen", "load", "storage", "shunt") if part in name.split("_"))
            sub = getattr(grid, f"line_{element}_to_subid" if element in ("or", "ex") else f"{element}_to_subid")
            difference = np.abs(x - y) / grid.sub_vn_kv[sub]
        else:
            difference = np.abs(x - y) / scale[kind]
        differences[name] = float(difference.max())
    return differences
