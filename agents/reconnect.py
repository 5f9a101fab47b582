"""Puts lines back as soon as that is allowed and safe."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from typing import Any

import numpy as np

from agents.base import Choices, Memoryless
from agents.candidates import Prepared
from agents.restore import restore
from marlgrid.simulation.state import take
from marlgrid.task.menu import Menu
from marlgrid.task.task import Episode, Outputs, Task


class Reconnect(Memoryless):
    """Reconnects a line that is out when the highest loading expected afterwards stays below ``safe``.

    Of several lines the one that leaves the lowest loading comes first; one line per step and team.
    """

    def __init__(self, safe: float = 0.95) -> None:
        self.safe = safe
        self._prepared = Prepared(Menu(kinds=("line",)))

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        candidates, state = self._prepared.of(task.system), episode.state
        chosen = candidates.nothing(state.n_env)
        rows = np.flatnonzero(state.running)
        worth = candidates.reconnects(take(state, rows)).astype(int)
        chosen[rows] = restore(task, candidates, state, rows, worth, self.safe)
        return candidates.choices(chosen), memory
