"""Rewards for how the grid is connected: its distance from the plain topology, and links it cannot spare."""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.scope import Groups, Scoped, groups_of, zero_if_failed


@dataclass(frozen=True)
class DistanceReward(Scoped):
    """Share of the elements (line ends, generators, loads, storages) on busbar 1; 0 at a blackout or when refused.

    What is disconnected is not on busbar 1.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = groups_of(system, self.scope)
        size = np.bincount(groups.place, minlength=groups.n)
        at_home = groups.total(after.topology.topo_vect == 1, groups.place) / np.maximum(size, 1)
        return zero_if_failed(at_home, ruling, after)


@dataclass(frozen=True)
class BridgeReward(Scoped):
    """1 without bridges, falling to 0 as their number goes from ``min_pen_lte`` to ``max_pen_gte``.

    A bridge is a pair of busbars whose connection, by one line or by several in parallel, the grid cannot lose without
    falling apart. A zone counts the bridges with an end in it. 0 at a blackout and for a refused action.
    """

    min_pen_lte: float = 0.0
    max_pen_gte: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_pen_lte < self.max_pen_gte:
            raise ValueError(f"min_pen_lte {self.min_pen_lte} must be below max_pen_gte {self.max_pen_gte}")

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        count = _count_bridges(system, groups_of(system, self.scope), after.topology.topo_vect)
        penalty = (count - self.min_pen_lte) / (self.max_pen_gte - self.min_pen_lte)
        return zero_if_failed(1.0 - np.clip(penalty, 0.0, 1.0), ruling, after)


def _count_bridges(system: System, groups: Groups, topo_vect: np.ndarray) -> np.ndarray:
    """(n_env, n_group) bridges with an end in the group."""
    grid = system.grid
    places = grid.line_or_pos_topo_vect, grid.line_ex_pos_topo_vect
    subs = grid.line_or_to_subid, grid.line_ex_to_subid
    local = [topo_vect[:, place] for place in places]
    ends = [np.where(bus > 0, sub + (bus - 1) * grid.n_sub, -1) for bus, sub in zip(local, subs, strict=True)]
    counts = np.zeros((len(topo_vect), groups.n))
    for e, links in enumerate(np.stack(ends, axis=2).astype(np.int32)):
        lines = list(_bridges(links.tobytes()))
        counts[e] = groups.has_line[:, lines].sum(axis=1)
    return counts


@lru_cache(maxsize=4096)
def _bridges(links: bytes) -> tuple[int, ...]:
    """One line for each bridge of the graph: ``links`` is (n_line, 2) int32, a line without busbar is -1.

    Topologies come back again and again, so the answer is kept.
    """
    import networkx as nx  # takes longer to load than all of marlgrid

    line_of = {}
    for line, (one, other) in enumerate(np.frombuffer(links, dtype=np.int32).reshape(-1, 2).tolist()):
        if one >= 0 and other >= 0:
            line_of[min(one, other), max(one, other)] = line
    return tuple(line_of[min(bridge), max(bridge)] for bridge in nx.bridges(nx.Graph(line_of.keys())))
