"""One-step lookahead by simulation: the strong baseline, with all zones searched together."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from typing import Any

import numpy as np

from agents.base import Choices, Memoryless
from agents.candidates import Candidates, Prepared
from agents.restore import restore
from marlgrid.simulation.state import State, take
from marlgrid.task.menu import Menu
from marlgrid.task.task import Episode, Outputs, Task


class Greedy(Memoryless):
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
        self.restore_below, self.margin = restore_below, margin
        self._prepared = Prepared(menu)

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        state, candidates = episode.state, self._prepared.of(task.system)
        chosen = candidates.nothing(state.n_env)
        rows = np.flatnonzero(state.running)
        expected = candidates.loading_after(task, state, rows, chosen[rows])
        loading = np.maximum(expected, state.rho[rows].max(axis=1, initial=0.0))
        calm = loading < self.act_above
        chosen[rows[calm]] = self._restore(task, candidates, state, rows[calm])
        chosen[rows[~calm]] = self._defend(task, candidates, state, rows[~calm], expected[~calm])
        return candidates.choices(chosen), memory

    def _restore(self, task: Task, candidates: Candidates, state: State, rows: np.ndarray) -> np.ndarray:
        part = take(state, rows)
        lines = candidates.reconnects(part)
        chosen = restore(task, candidates, state, rows, lines.astype(int), self.act_above)
        free = np.flatnonzero((chosen < 0).all(axis=1))
        worth = np.where(lines, 0, candidates.undoes(part))[free]
        chosen[free] = restore(task, candidates, state, rows[free], worth, self.restore_below)
        return chosen

    def _defend(
        self, task: Task, candidates: Candidates, state: State, rows: np.ndarray, expected: np.ndarray
    ) -> np.ndarray:
        """(n_row, n_zone) table entries for episodes in danger."""
        chosen, loading = candidates.nothing(len(rows)), expected.copy()
        gentle = ~candidates.splits
        for allowed, until in ((gentle, self.enough), (~gentle, self.split_above)):
            for _ in range(task.system.n_zone):
                open_rows = np.flatnonzero(loading >= until)
                better = self._add_best(task, candidates, state, rows, open_rows, allowed, chosen, loading)
                if not better:
                    break
        return chosen

    def _add_best(
        self,
        task: Task,
        candidates: Candidates,
        state: State,
        rows: np.ndarray,
        open_rows: np.ndarray,
        allowed: np.ndarray,
        chosen: np.ndarray,
        loading: np.ndarray,
    ) -> bool:
        """Enters one more zone's best action into ``chosen`` and ``loading`` where it helps; says whether any did."""
        free = chosen[open_rows][:, candidates.table.zone] < 0
        row, action = np.nonzero(candidates.legal(take(state, rows[open_rows])) & free & allowed)
        row = open_rows[row]
        tried = candidates.with_one_more(chosen[row], action)
        result = candidates.loading_after(task, state, rows[row], tried)
        order = np.argsort(result, kind="stable")
        first, at = np.unique(row[order], return_index=True)
        best = order[at]
        helps = result[best] < loading[first] - self.margin
        chosen[first[helps]] = tried[best[helps]]
        loading[first[helps]] = result[best[helps]]
        return bool(helps.any())
