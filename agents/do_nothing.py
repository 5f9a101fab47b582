"""The baseline of every study."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from typing import Any

from agents.base import Choices, Memoryless
from marlgrid.simulation.action import NO_COMMANDS
from marlgrid.task.task import Episode, Outputs, Task


class DoNothing(Memoryless):
    """No zone ever acts."""

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        return {zone: [NO_COMMANDS] * episode.state.n_env for zone in task.zones}, memory
