"""What one zone's policy is, and what it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from agents.view import View
from marlgrid import seeding
from marlgrid.task.actions import Mask
from marlgrid.task.occasions import line_waits
from marlgrid.task.task import Episode, Outputs, Task

STREAM_POLICY = 901
"""One stream of draws per zone from here on."""


class Policy(Protocol):
    """The policy of one zone, for any number of episodes at once. It keeps nothing on itself between calls."""

    def initial_memory(self, n_env: int) -> Any:
        """``()`` or nested tuples and dicts of arrays with a leading axis of episodes."""

    def act(self, seen: Seen, mask: Mask, memory: Any) -> tuple[Sequence[Any], Any]:
        """One answer per episode (an element of the zone's action space, or ``Commands``), and the next memory.

        ``mask`` is the zone's, (n_env, n_action) int8 or one such per component of its space.
        """


@dataclass(frozen=True, eq=False)
class Seen:
    """What a zone is shown of a batch of episodes."""

    zone: str
    observation: np.ndarray
    """(n_env, n) float32: the zone's observation in the task."""
    alarm: np.ndarray
    """(n_env,) highest line loading of the whole grid, which every zone is told."""
    waiting: np.ndarray
    """(n_env,) bool: somewhere a line is out that could be put back, which every zone is told too."""
    _source: tuple[Task, Episode]

    @classmethod
    def of(cls, task: Task, episode: Episode, outputs: Outputs, zone: str) -> Seen:
        """Of one zone, as the task has it."""
        state = episode.state
        waiting = line_waits(task.system, state)
        return cls(zone, outputs.observations[zone], state.rho.max(axis=1), waiting, (task, episode))

    @property
    def n_env(self) -> int:
        return len(self.alarm)

    def draws(self, n: int) -> np.ndarray:
        """(n_env, n) numbers in [0, 1) for policies that play at random: they follow from the episodes' seeds."""
        task, episode = self._source
        state = episode.state
        return seeding.uniform(state.seed, state.t, STREAM_POLICY + task.zones.index(self.zone), n)

    @cached_property
    def view(self) -> View:
        """What the zone sees in the field's terms, by the element; made when it is asked for."""
        task, episode = self._source
        return View(task, episode.state, self.zone)
