"""Puts lines back as soon as that is allowed and safe."""

from __future__ import annotations

import numpy as np

from agents.candidates import candidates_of
from agents.planner import Planning
from agents.search import restore
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import State, take
from marlgrid.task.menu import Menu
from marlgrid.task.task import Task

LINES = Menu(kinds=("line",))


class Reconnect(Planning):
    """Reconnects a line that is out when the highest loading expected afterwards stays below ``safe``.

    Of several lines the one that leaves the lowest loading comes first; one line per step and team.
    """

    def __init__(self, safe: float = 0.95) -> None:
        self.safe = safe

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        candidates = candidates_of(task.system, LINES, zone)
        chosen = candidates.nothing(state.n_env)
        rows = np.flatnonzero(state.running)
        worth = candidates.reconnects(take(state, rows)).astype(int)
        chosen[rows] = restore(task, candidates, state, rows, worth, self.safe)
        return candidates.choices(chosen)
