"""Which bus every element stands on, and whether all of them hang together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
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

    @cached_property
    def arguments(self) -> tuple[np.ndarray, np.ndarray, int, int, int, int]:
        """For kernels: position, sub, n_sub, number of lines, slack, n_bus."""
        return self.position, self.sub, self.n_sub, self.line_or.stop, self.slack, self.n_bus

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
        verdict = np.empty(len(buses), dtype=np.bool_)
        _connected(buses, rows, self.line_or.stop, self.slack, self.n_bus, verdict)
        return verdict


@rule
def locate(topo_vect, shunt_bus, position, sub, n_sub, n_line, bus) -> None:  # pragma: no cover
    """Writes the bus of each column, of one environment."""
    n_placed = len(position)
    for i in range(len(bus)):
        local = topo_vect[position[i]] if i < n_placed else shunt_bus[i - n_placed]
        bus[i] = sub[i] + (local - 1) * n_sub if local > 0 else -1
    for line in range(n_line):
        if bus[line] < 0 or bus[n_line + line] < 0:
            bus[line] = -1
            bus[n_line + line] = -1


@rule
def hang_together(bus, n_line, slack, parent) -> bool:  # pragma: no cover
    """Whether every bus in use is connected to the slack's, in one environment; ``parent`` (n_bus,) is a notepad."""
    if bus[slack] < 0:
        return False
    for b in range(len(parent)):
        parent[b] = b
    for line in range(n_line):
        if bus[line] >= 0:
            parent[_root(parent, bus[line])] = _root(parent, bus[n_line + line])
    main, together = _root(parent, bus[slack]), True
    for i in range(len(bus)):
        together = together and (bus[i] < 0 or _root(parent, bus[i]) == main)
    return together


@rule
def _root(parent, bus):  # pragma: no cover
    while parent[bus] != bus:
        parent[bus] = parent[parent[bus]]
        bus = parent[bus]
    return bus


@kernel_in_place
def _locate(topo_vect, shunt_bus, position, sub, n_sub, n_line, table):  # pragma: no cover
    for env in range(table.shape[0]):
        locate(topo_vect[env], shunt_bus[env], position, sub, n_sub, n_line, table[env])


@kernel_in_place
def _connected(buses, rows, n_line, slack, n_bus, verdict):  # pragma: no cover
    parent = scratch(n_bus, np.int32)
    for env in range(buses.shape[0]):
        verdict[env] = rows[env] and hang_together(buses[env], n_line, slack, parent)
