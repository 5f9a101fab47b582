"""Rules of thumb of an operator: act on overloads only, near them, by topology first, and tidy up afterwards."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agents.candidates import Candidates, candidates_of
from agents.planner import Planning
from agents.search import add_best, searched
from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind
from marlgrid.simulation.state import State
from marlgrid.task.menu import Menu
from marlgrid.task.task import Task

DISPATCH = (Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE)


class Expert(Planning):
    """An expert system in the manner of Marot et al., "Expert system for topological remedial action discovery in
    smart grids" (2018), and of the rule-based agents of L2RPN.

    While the highest loading, now or expected, is below ``act_above`` it only leads the grid back to its reference:
    lines in, substations on one busbar, curtailment and redispatch taken back, where the loading then stays below
    ``restore_below`` (lines: ``act_above``). Else it takes the most loaded line, and simulates reconnections and
    configurations of the substations at its ends, then of those one line further away, and so on up to ``reach``;
    then redispatch, curtailment and storages. The best action is kept and the search goes on with the line that is
    then the most loaded, each zone acting once at most, until the loading is below ``act_above``.
    """

    def __init__(
        self,
        act_above: float = 0.98,
        reach: int = 1,
        restore_below: float = 0.8,
        margin: float = 1e-3,
        menu: Menu | None = None,
    ) -> None:
        if reach < 0:
            raise ValueError(f"reach is {reach}, give at least 0: the number of lines between an overload and a remedy")
        self.act_above, self.reach, self.restore_below = act_above, reach, restore_below
        self.margin, self.menu = margin, menu

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        candidates = candidates_of(task.system, self.menu, zone)
        return searched(task, candidates, state, self.act_above, self.restore_below, self._defend)

    def _defend(
        self, task: Task, candidates: Candidates, state: State, rows: np.ndarray, expected: np.ndarray
    ) -> np.ndarray:
        """(n_row, n_zone) table entries for episodes with an overload."""
        chosen, loading = candidates.nothing(len(rows)), expected.copy()
        distance = _distances(candidates.system)
        places = _subs(candidates)
        for stage in range(self.reach + 2):
            for _ in range(task.system.n_zone):
                open_rows = np.flatnonzero(loading >= self.act_above)
                if len(open_rows) == 0:
                    return chosen
                if stage > self.reach:
                    allowed = np.isin(candidates.kind, DISPATCH)[None]
                else:
                    rho = candidates.rho_after(task, state, rows[open_rows], chosen[open_rows])
                    lost = np.isinf(rho).any(axis=1, keepdims=True)
                    worst = np.where(lost, state.rho[rows[open_rows]], rho).argmax(axis=1)
                    near = distance[worst] <= stage
                    allowed = (near[:, places] & (places >= 0)).any(axis=1)
                if not add_best(task, candidates, state, rows, open_rows, allowed, chosen, loading, self.margin):
                    break
        return chosen


def _subs(candidates: Candidates) -> np.ndarray:
    """(2, n_action) substations that a topological remedy is about; -1 where the action is none."""
    grid, kind, index = candidates.system.grid, candidates.kind, candidates.index
    connects = (kind == Kind.SET_LINE_STATUS) & (candidates.value > 0)
    place, line = np.where(kind == Kind.SET_BUS, index, 0), np.where(connects, index, 0)
    at = np.where(kind == Kind.SET_BUS, grid.topology_layout.sub[place], -1)
    return np.stack(
        [
            np.where(connects, grid.line_or_to_subid[line], at),
            np.where(connects, grid.line_ex_to_subid[line], at),
        ]
    )


@lru_cache(maxsize=64)
def _distances(system: System) -> np.ndarray:
    """(n_line, n_sub) lines between a line's nearer end and a substation."""
    grid = system.grid
    away = np.full((grid.n_sub, grid.n_sub), grid.n_sub)
    np.fill_diagonal(away, 0)
    away[grid.line_or_to_subid, grid.line_ex_to_subid] = away[grid.line_ex_to_subid, grid.line_or_to_subid] = 1
    np.fill_diagonal(away, 0)
    for middle in range(grid.n_sub):
        away = np.minimum(away, away[:, [middle]] + away[[middle]])
    return np.minimum(away[grid.line_or_to_subid], away[grid.line_ex_to_subid])
