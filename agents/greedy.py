"""One-step lookahead by simulation: the strong baseline, with all zones searched together."""

from __future__ import annotations

import numpy as np

from agents.base import Choices
from agents.candidates import LOST, Candidates, loading_after, nothing_chosen
from agents.reconnect import as_choices, reconnect
from marlgrid.model.system import System
from marlgrid.simulation.state import State, take
from marlgrid.task.menu import Menu
from marlgrid.task.task import Episode, Outputs, Task


class Greedy:
    """Acts when the highest loading, now or expected, reaches ``act_above``; else it only reconnects lines.

    Every legal ready action of every zone is simulated one step ahead and the one with the lowest highest loading is
    kept; then, with it fixed, the actions of the zones that have not acted yet, and so on until the loading is below
    ``enough``, or no zone improves it by more than ``margin``.
    """

    def __init__(
        self,
        act_above: float = 0.95,
        enough: float = 0.9,
        margin: float = 1e-3,
        menu: Menu | None = None,
        chunk: int = 4096,
    ) -> None:
        self.act_above, self.enough, self.margin = act_above, enough, margin
        self.menu = menu or Menu()
        self.chunk = chunk
        """Candidates simulated in one call: bounds the memory, not the result."""
        self._prepared: tuple[System, Candidates] | None = None

    def act(self, task: Task, episode: Episode, outputs: Outputs) -> Choices:
        state, candidates = episode.state, self._candidates(task.system)
        chosen = nothing_chosen(state.n_env, task.system.n_zone)
        running = np.flatnonzero(state.running)
        expected = self._loading(task, state, running, chosen[running])
        danger = np.maximum(expected, state.rho[running].max(axis=1)) >= self.act_above
        reconnect(task, candidates, state, running[~danger], chosen, self.act_above)
        rows, loading = running[danger], expected[danger]
        for _ in range(task.system.n_zone):
            rows, loading = self._improve(task, state, rows, loading, chosen)
            if len(rows) == 0:
                break
        return as_choices(task, candidates, chosen)

    def _improve(
        self, task: Task, state: State, rows: np.ndarray, loading: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Adds the best action of one more zone to ``chosen``; returns the episodes still worth a round."""
        candidates = self._candidates(task.system)
        free = chosen[rows][:, candidates.table.zone] < 0
        row, action = np.nonzero(candidates.legal(task.system, take(state, rows)) & free)
        tried = chosen[rows[row]]
        tried[np.arange(len(row)), candidates.table.zone[action]] = action
        result = self._loading(task, state, rows[row], tried)
        again, reached = [], []
        for k, before in enumerate(loading):
            mine = np.flatnonzero(row == k)
            if len(mine) == 0:
                continue
            best = mine[result[mine].argmin()]
            if result[best] < before - self.margin or (before == LOST and result[best] < LOST):
                chosen[rows[k]] = tried[best]
                if result[best] >= self.enough:
                    again.append(rows[k])
                    reached.append(result[best])
        return np.array(again, dtype=np.int64), np.array(reached)

    def _loading(self, task: Task, state: State, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Highest loading after each candidate, a few thousand of them at a time."""
        candidates = self._candidates(task.system)
        parts = [
            loading_after(task, candidates, state, rows[at : at + self.chunk], chosen[at : at + self.chunk])
            for at in range(0, len(rows), self.chunk)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _candidates(self, system: System) -> Candidates:
        if self._prepared is None or self._prepared[0] is not system:
            self._prepared = system, Candidates(system, self.menu)
        return self._prepared[1]
