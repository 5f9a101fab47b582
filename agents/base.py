"""What a team of zones is: one object that answers for all of them, for any number of episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from marlgrid.env.parallel import GridParallelEnv
from marlgrid.task.task import Episode, Outputs, Task

Choices = dict[str, Sequence[Any]]
"""Agent -> one answer per episode: an element of its action space, or ``Commands``."""


class Agent(Protocol):
    """A team. It keeps nothing between calls, so that one call may serve unrelated episodes."""

    def act(self, task: Task, episode: Episode, outputs: Outputs) -> Choices:
        """Answers of all zones for the episodes of a batch, those that are over included (whatever is said there)."""


def act_in(env: GridParallelEnv, agent: Agent) -> dict[str, Any]:
    """The zones' actions for ``env.step`` in a single environment."""
    episode = env.snapshot()
    choices = agent.act(env.task, episode, env.task.look(episode))
    return {name: answers[0] for name, answers in choices.items()}
