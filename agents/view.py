"""What one zone sees of a batch of episodes, in the field's terms."""

from __future__ import annotations

import difflib
from functools import lru_cache

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.state import State
from marlgrid.task.patch import Patch, patch_of
from marlgrid.task.sensors import READINGS
from marlgrid.task.sight import Sight
from marlgrid.task.task import Task
from marlgrid.task.zone_view import SECRET

TOLD = tuple(name for name in READINGS if name not in SECRET)
"""The attributes of a view."""


class View:
    """Attributes of ``env.observe_zone`` for all episodes at once: ``view.rho`` is (n_env, n_line), and so on.

    Elements are numbered as in ``patch``, the part of the grid that the zone sees: its own substations, with
    ``observation="neighbourhood"`` those around, with ``"global"`` all; of a line that leaves it, the near end. After a
    game over the values are those of the last state.
    """

    def __init__(self, task: Task, state: State, zone: str) -> None:
        self.zone = zone
        self.number = task.zones.index(zone)
        self.patch = _patch(task.system, getattr(task.observation, "sight", Sight()), self.number)
        self._task, self._state = task, state

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in TOLD:
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


@lru_cache(maxsize=256)
def _patch(system: System, sight: Sight, zone: int) -> Patch:
    return patch_of(system, sight.subs(system, zone))
