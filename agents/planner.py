"""Agents that work things out by simulation, for a whole team or for one zone on what that knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from agents.base import Choices, Memoryless
from agents.policy import Seen
from marlgrid.simulation.action import NO_COMMANDS, Commands
from marlgrid.simulation.state import State
from marlgrid.task.actions import Mask
from marlgrid.task.task import Episode, Outputs, Task


class Planner(Protocol):
    """Finds what to do on a batch of states; any task will do, that of a ``ZoneModel`` included."""

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        """Agent -> commands per episode; with ``zone`` only that zone acts. Nothing is remembered."""


class Planning(Memoryless):
    """Makes a team of a planner: it knows the whole grid and acts for all zones at once."""

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        raise NotImplementedError

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:  # noqa: ARG002
        return self.plan(task, episode.state), memory


class OfZone:
    """Makes one zone's policy of a planner: it works on the zone's own model of the grid and takes the others to do
    nothing."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def initial_memory(self, n_env: int) -> Any:  # noqa: ARG002 - the protocol says so
        return ()

    def act(self, seen: Seen, mask: Mask, memory: Any) -> tuple[Sequence[Commands], Any]:  # noqa: ARG002
        view = seen.view
        planned = self.planner.plan(*view.model, view.number)[seen.zone]
        in_the_whole = view.patch.in_the_whole
        return [in_the_whole(commands) if len(commands.kind) else NO_COMMANDS for commands in planned], memory
