"""Puts lines back as soon as that is allowed and safe."""

from __future__ import annotations

import numpy as np

from agents.base import Choices, zones_of
from agents.candidates import Candidates, loading_after, nothing_chosen
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS
from marlgrid.simulation.state import State, take
from marlgrid.task.menu import Menu
from marlgrid.task.task import Episode, Outputs, Task


class Reconnect:
    """Reconnects a line that is out when the highest loading expected afterwards stays below ``safe``.

    Of several lines the one that leaves the lowest loading comes first; one line per step and team.
    """

    def __init__(self, safe: float = 0.95) -> None:
        self.safe = safe
        self._prepared: tuple[System, Candidates] | None = None

    def act(self, task: Task, episode: Episode, outputs: Outputs) -> Choices:
        candidates = self._candidates(task.system)
        chosen = nothing_chosen(episode.state.n_env, task.system.n_zone)
        rows = np.flatnonzero(episode.state.running)
        reconnect(task, candidates, episode.state, rows, chosen, self.safe)
        return as_choices(task, candidates, chosen)

    def _candidates(self, system: System) -> Candidates:
        if self._prepared is None or self._prepared[0] is not system:
            self._prepared = system, Candidates(system, Menu(kinds=("line",)))
        return self._prepared[1]


def reconnect(
    task: Task, candidates: Candidates, state: State, rows: np.ndarray, chosen: np.ndarray, safe: float
) -> None:
    """Enters into ``chosen`` (n_env, n_zone) the best safe reconnection of each of the episodes ``rows``."""
    out = state.topology.topo_vect[:, task.system.grid.line_or_pos_topo_vect] < 0
    rows = rows[out[rows].any(axis=1)]
    if len(rows) == 0:
        return
    possible = candidates.legal(task.system, take(state, rows)) & candidates.reconnects
    possible &= out[rows][:, candidates.line]
    row, action = np.nonzero(possible)
    if len(row) == 0:
        return
    tried = nothing_chosen(len(row), task.system.n_zone)
    tried[np.arange(len(row)), candidates.table.zone[action]] = action
    loading = loading_after(task, candidates, state, rows[row], tried)
    for k in range(len(rows)):
        mine = np.flatnonzero(row == k)
        if len(mine) and loading[mine].min() < safe:
            chosen[rows[k]] = tried[mine[loading[mine].argmin()]]


def as_choices(task: Task, candidates: Candidates, chosen: np.ndarray) -> Choices:
    """Commands of every zone out of table entries (n_env, n_zone), -1 for nothing."""
    return {
        zone: [NO_COMMANDS if entry < 0 else candidates.commands(entry) for entry in chosen[:, number]]
        for number, zone in enumerate(zones_of(task))
    }
