"""What a team of zones is: one object that answers for all of them, for any number of episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from marlgrid.env.parallel import GridParallelEnv
from marlgrid.task.task import Episode, Outputs, Task

Choices = dict[str, Sequence[Any]]
"""Agent -> one answer per episode: an element of its action space, or ``Commands``."""
Memory = TypeVar("Memory")


class Agent(Protocol):
    """A team. It keeps nothing on itself between calls, so that one object may serve unrelated episodes.

    What it has to remember it returns as a value: ``()``, or nested tuples and dicts of arrays with a leading axis of
    episodes, so that ``rows_of`` picks episodes out of it as ``state.take`` does out of a state.
    """

    def initial_memory(self, task: Task, n_env: int) -> Any:
        """The memory at the start of ``n_env`` episodes."""

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: Any) -> tuple[Choices, Any]:
        """Answers of all zones for the episodes of a batch, and the memory for the next step.

        Episodes that are over are among them, whatever is said there.
        """


class Memoryless:
    """For agents that decide on the present alone."""

    def initial_memory(self, task: Task, n_env: int) -> Any:  # noqa: ARG002 - the protocol says so
        return ()


def act_in(env: GridParallelEnv, agent: Agent, memory: Any = None) -> tuple[dict[str, Any], Any]:
    """The zones' actions for ``env.step`` in a single environment, and the memory for the next call.

    ``memory`` None is that of the start of an episode.
    """
    episode = env.snapshot()
    memory = agent.initial_memory(env.task, 1) if memory is None else memory
    choices, memory = agent.act(env.task, episode, env.task.look(episode), memory)
    return {name: answers[0] for name, answers in choices.items()}, memory


def rows_of(memory: Memory, rows: np.ndarray) -> Memory:
    """Some episodes' part of a memory: the rows of every array in it."""
    if isinstance(memory, dict):
        return {key: rows_of(part, rows) for key, part in memory.items()}  # type: ignore[return-value]
    if isinstance(memory, tuple):
        parts = (rows_of(part, rows) for part in memory)
        return type(memory)(*parts) if hasattr(memory, "_fields") else tuple(parts)  # type: ignore[return-value]
    return memory[rows]  # type: ignore[index]


def with_rows(memory: Memory, rows: np.ndarray, part: Memory) -> Memory:
    """The memory with some episodes' part replaced by that of others."""
    if isinstance(memory, dict):
        return {key: with_rows(old, rows, part[key]) for key, old in memory.items()}  # type: ignore
    if isinstance(memory, tuple):
        parts = [with_rows(old, rows, new) for old, new in zip(memory, part, strict=True)]  # type: ignore
        return type(memory)(*parts) if hasattr(memory, "_fields") else tuple(parts)  # type: ignore[return-value]
    memory = memory.copy()  # type: ignore[attr-defined]
    memory[rows] = part  # type: ignore[index]
    return memory
