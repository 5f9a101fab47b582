"""What one zone sees of a batch of episodes, in the field's terms, and what its actions would do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from agents.zone_model import model_of
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import State
from marlgrid.task.sensors import READINGS
from marlgrid.task.task import Task
from marlgrid.task.zone_view import SECRET

TOLD = tuple(name for name in READINGS if name not in SECRET)
"""The attributes of a view."""


class Foreseen(NamedTuple):
    """What a zone can expect of the next step."""

    rho: np.ndarray
    """(n_env, n_line) of the lines in view."""
    accepted: np.ndarray
    """(n_env,) bool: the zone's action would not be refused."""
    lost: np.ndarray
    """(n_env,) bool: a game over."""


class View:
    """Attributes of ``env.observe_zone`` for all episodes at once: ``view.rho`` is (n_env, n_line), and so on.

    Elements are numbered as in ``patch``, the part of the grid that the zone sees: its own substations, with
    ``observation="neighbourhood"`` those around, with ``"global"`` all; of a line that leaves it, the near end. Values
    are exact, whatever noise the vectors have; after a game over they are those of the last state.
    """

    def __init__(self, task: Task, state: State, zone: str) -> None:
        self.zone = zone
        self.number = task.zones.index(zone)
        self._model = model_of(task, self.number)
        self.patch = self._model.patch
        self._task, self._state = task, state

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name not in TOLD:
            close = difflib.get_close_matches(name, TOLD, n=3)
            raise AttributeError(f"a view has no attribute {name!r}; did you mean {' or '.join(close or TOLD)}?")
        return self.patch.part(name, READINGS[name](self._state))

    @property
    def system(self) -> System:
        """The part of the grid in view as a system of its own; ``system.zones`` says whose each element is."""
        return self.patch.system

    @property
    def n_env(self) -> int:
        return self._state.n_env

    @property
    def running(self) -> np.ndarray:
        """(n_env,) bool: the episode is not over."""
        return self._state.running

    @property
    def line_status(self) -> np.ndarray:
        """(n_env, n_line) bool: in service."""
        return self.topo_vect[:, self.system.grid.line_or_pos_topo_vect] > 0

    @property
    def thermal_limit(self) -> np.ndarray:
        """(n_env, n_line) A."""
        return self._state.thermal_limit[:, self.patch.line]

    # ------------------------------------------------------------------ what if
    @cached_property
    def model(self) -> tuple[Task, State]:
        """The zone's own version of the task and of the episodes, see ``zone_model``."""
        return self._model.task(self._task, self._state)

    def simulate(self, answers: Sequence[Any]) -> Foreseen:
        """What the zone can expect of the next step after one answer per episode, if nobody else acts.

        An answer is an element of the zone's action space, ``Commands``, or None for nothing. Worked out on the zone's
        own model, from the forecasts of what is in view. Raises ValueError for commands on what is not in view.
        """
        task, state = self.model
        spoken = [NO_COMMANDS if a is None else self._task.actions.commands(self.number, a) for a in answers]
        zones = range(task.system.n_zone)
        asked = [[self.patch.of_the_whole(c) if z == self.number else NO_COMMANDS for z in zones] for c in spoken]
        after, ruling = simulate(task.system, task.foreseeing, task.series, state, joint(asked))
        n_line = self.system.grid.n_line
        return Foreseen(after.rho[:, :n_line], ruling.accepted[:, self.number], after.lost)
