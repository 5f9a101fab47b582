"""The baseline of every study."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from typing import Any

from agents.base import Choices, Memoryless
from agents.policy import Seen
from marlgrid.simulation.action import NO_COMMANDS, Commands
from marlgrid.task.actions import Mask
from marlgrid.task.task import Episode, Outputs, Task


class DoNothing(Memoryless):
    """No zone ever acts."""

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        return {zone: [NO_COMMANDS] * episode.state.n_env for zone in task.zones}, memory


class Idle:
    """A zone that never acts."""

    def initial_memory(self, n_env: int) -> Any:
        return ()

    def act(self, seen: Seen, mask: Mask, memory: Any) -> tuple[list[Commands], Any]:
        return [NO_COMMANDS] * seen.n_env, memory
