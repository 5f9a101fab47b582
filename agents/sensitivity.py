"""How flows answer to injections: power transfer distribution factors of the actual topology."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from marlgrid.model.grid import Grid


def ptdf(grid: Grid, topo_vect: np.ndarray) -> np.ndarray:
    """(n_line, n_bus) MW at the origin of each line per MW injected at each bus (by global number), in the DC
    approximation, for changes that sum to zero over each part of the grid; 0 for lines that are out and empty buses.

    ``topo_vect`` (dim_topo,): busbars.
    """
    return _ptdf(grid, topo_vect.astype(np.int32).tobytes())


@lru_cache(maxsize=256)
def _ptdf(grid: Grid, topology: bytes) -> np.ndarray:
    topo_vect = np.frombuffer(topology, dtype=np.int32)
    begin = bus_of(grid, topo_vect, grid.line_or_to_subid, grid.line_or_pos_topo_vect)
    end = bus_of(grid, topo_vect, grid.line_ex_to_subid, grid.line_ex_pos_topo_vect)
    alive = np.flatnonzero((begin >= 0) & (end >= 0))
    incidence = np.zeros((len(alive), grid.n_bus))
    rows = np.arange(len(alive))
    incidence[rows, begin[alive]] += 1.0
    incidence[rows, end[alive]] -= 1.0
    weighted = incidence / (grid.line_x_pu * grid.line_ratio)[alive, None]
    factors = np.zeros((grid.n_line, grid.n_bus))
    factors[alive] = weighted @ np.linalg.pinv(incidence.T @ weighted, hermitian=True)
    factors.flags.writeable = False
    return factors


def bus_of(grid: Grid, topo_vect: np.ndarray, sub: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(n,) global bus of elements by their substations and places in the topology vector, -1 for none."""
    local = topo_vect[place]
    bus: np.ndarray = np.where(local > 0, sub + (local - 1) * grid.n_sub, -1)
    return bus
