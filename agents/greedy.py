"""One-step lookahead by simulation: the strong baseline, with all zones searched together."""

from __future__ import annotations

import numpy as np

from agents.candidates import Candidates, candidates_of
from agents.planner import Planning
from agents.search import add_best, searched
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import State
from marlgrid.task.menu import Menu
from marlgrid.task.task import Task


class Greedy(Planning):
    """In danger the team plays what leaves the lowest loading one step ahead; in calm it restores the grid.

    Danger is a highest loading, now or expected, of at least ``act_above``. Then every legal ready action of every
    zone is simulated and the best one kept; with it fixed, the actions of the zones that are still free, and so on,
    until the loading is below ``enough`` or nothing improves it by more than ``margin``. Generators, storages and
    reconnections are tried first; lines are taken out and substations split only while the loading stays at or above
    ``split_above``. In calm, lines are put back, substations unsplit, curtailment and redispatch taken back, as long
    as the loading stays below ``restore_below`` (lines: ``act_above``).
    """

    def __init__(
        self,
        act_above: float = 0.95,
        enough: float = 0.9,
        split_above: float = 1.0,
        restore_below: float = 0.8,
        margin: float = 1e-3,
        menu: Menu | None = None,
    ) -> None:
        self.act_above, self.enough, self.split_above = act_above, enough, split_above
        self.restore_below, self.margin, self.menu = restore_below, margin, menu

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        candidates = candidates_of(task.system, self.menu, zone)
        return searched(task, candidates, state, self.act_above, self.restore_below, self._defend)

    def _defend(
        self, task: Task, candidates: Candidates, state: State, rows: np.ndarray, expected: np.ndarray
    ) -> np.ndarray:
        """(n_row, n_zone) table entries for episodes in danger."""
        chosen, loading = candidates.nothing(len(rows)), expected.copy()
        gentle = ~candidates.splits
        for allowed, until in ((gentle, self.enough), (~gentle, self.split_above)):
            for _ in range(task.system.n_zone):
                open_rows = np.flatnonzero(loading >= until)
                asked = task, candidates, state, rows, open_rows, allowed, chosen, loading, self.margin
                if not add_best(*asked):
                    break
        return chosen
