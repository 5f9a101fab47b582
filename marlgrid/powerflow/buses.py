"""Which bus every element stands on, and whether all of them hang together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from marlgrid.compiled import kernel, subkernel
from marlgrid.model.grid import Grid


@dataclass(frozen=True, eq=False)
class BusLayout:
    """Columns of a bus table: line origins, line extremities, generators, loads, storages, shunts, end to end."""

    position: np.ndarray
    """(n_column - n_shunt,) int32 place of each element in the topology vector; shunts have none."""
    sub: np.ndarray
    """(n_column,) int32 substation of each element."""
    n_sub: int
    n_bus: int
    slack: int
    """Column of the slack generator."""
    line_or: slice
    line_ex: slice
    gen: slice
    load: slice
    storage: slice
    shunt: slice

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, grid: Grid) -> BusLayout:
        sizes = [grid.n_line, grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt]
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        columns = [slice(int(first), int(last)) for first, last in pairwise(bounds)]
        layout = grid.topology_layout
        position = np.concatenate([layout.line_or, layout.line_ex, layout.gen, layout.load, layout.storage])
        sub = np.concatenate(
            [
                grid.line_or_to_subid,
                grid.line_ex_to_subid,
                grid.gen_to_subid,
                grid.load_to_subid,
                grid.storage_to_subid,
                grid.shunt_to_subid,
            ]
        )
        slack = columns[2].start + grid.slack_gen
        return cls(position.astype(np.int32), sub.astype(np.int32), grid.n_sub, grid.n_bus, slack, *columns)

    def buses(self, topo_vect: np.ndarray, shunt_bus: np.ndarray) -> np.ndarray:
        """(n_env, n_column) int32 global bus of each element, -1 where it is on none.

        A line with a single end on a busbar carries nothing and counts as out at both.
        """
        table = np.empty((len(topo_vect), len(self.sub)), dtype=np.int32)
        n_line = self.line_or.stop
        _locate(topo_vect, shunt_bus, self.position, self.sub, self.n_sub, n_line, table)
        return table

    def connected(self, buses: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n_env,) bool: of the rows asked for, those where every element in use is connected to the slack.

        A busbar in use that is cut off ends the episode even when it holds only line ends (Grid2Op's rule).
        """
        return _connected(buses, rows, self.line_or.stop, self.slack, self.n_bus)


@kernel
def _locate(topo_vect, shunt_bus, position, sub, n_sub, n_line, table):
    n_placed = len(position)
    for env in range(table.shape[0]):
        for i in range(n_placed):
            local = topo_vect[env, position[i]]
            table[env, i] = sub[i] + (local - 1) * n_sub if local > 0 else -1
        for i in range(n_placed, table.shape[1]):
            local = shunt_bus[env, i - n_placed]
            table[env, i] = sub[i] + (local - 1) * n_sub if local > 0 else -1
        for line in range(n_line):
            if table[env, line] < 0 or table[env, n_line + line] < 0:
                table[env, line] = -1
                table[env, n_line + line] = -1


@subkernel
def _root(parent, bus):
    while parent[bus] != bus:
        parent[bus] = parent[parent[bus]]
        bus = parent[bus]
    return bus


@kernel
def _connected(buses, rows, n_line, slack, n_bus):
    n_env, n_column = buses.shape
    verdict = np.zeros(n_env, dtype=np.bool_)
    parent = np.empty(n_bus, dtype=np.int32)
    for env in range(n_env):
        if not rows[env] or buses[env, slack] < 0:
            continue
        for bus in range(n_bus):
            parent[bus] = bus
        for line in range(n_line):
            if buses[env, line] >= 0:
                parent[_root(parent, buses[env, line])] = _root(parent, buses[env, n_line + line])
        main = _root(parent, buses[env, slack])
        verdict[env] = True
        for i in range(n_column):
            if buses[env, i] >= 0 and _root(parent, buses[env, i]) != main:
                verdict[env] = False
                break
    return verdict
