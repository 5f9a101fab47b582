"""One agent for the whole grid, in gymnasium's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from marlgrid.env.parallel import RENDER_MODES, ForecastEnv, GridParallelEnv
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import State
from marlgrid.task.action_view import ActionView
from marlgrid.task.noise import NoiseSpec
from marlgrid.task.observation import Observation
from marlgrid.task.task import Task


class GridEnv(gymnasium.Env[Any, Any]):
    """A ``GridParallelEnv`` that has one agent only, without the dicts."""

    metadata = {"name": "marlgrid_v0", "render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012

    def __init__(self, parallel: GridParallelEnv) -> None:
        if len(parallel.possible_agents) != 1:
            raise ValueError(f"a gymnasium environment has one agent, not {parallel.possible_agents}")
        self.parallel = parallel
        (self.agent,) = parallel.possible_agents
        self.render_mode = parallel.render_mode
        self.observation_space = parallel.observation_space(self.agent)
        self.action_space = parallel.action_space(self.agent)
        self._info: dict[str, Any] = {}

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; options as in ``GridParallelEnv.reset``."""
        super().reset(seed=seed)
        observations, infos = self.parallel.reset(seed, options)
        self._info = infos[self.agent]
        return observations[self.agent], self._info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; an action is an element of the space, or made by ``make_action``."""
        observations, rewards, terminated, truncated, infos = self.parallel.step({self.agent: action})
        agent, self._info = self.agent, infos[self.agent]
        return observations[agent], rewards[agent], terminated[agent], truncated[agent], self._info

    def action_masks(self) -> np.ndarray:
        """(n_action,) bool of what is allowed now, flat for multi-discrete actions: the form sb3-contrib asks for."""
        mask = self._info.get("action_mask")
        if mask is None:
            raise RuntimeError(
                "no action mask: call reset first, with mask='info' or 'both' and (multi-)discrete actions"
            )
        return np.concatenate(mask).astype(bool) if isinstance(mask, tuple) else np.asarray(mask, dtype=bool)

    def make_action(self, keys: Mapping[str, Any]) -> Commands:
        """An action in the words of the grid, see ``GridParallelEnv.make_action``."""
        return self.parallel.make_action(keys)

    def describe_action(self, action: Any) -> ActionView:
        """An element of the space, or an action made by ``make_action``, as an ``ActionView``."""
        return self.parallel.describe_action(action, self.agent)

    def observe_grid(self, noise: NoiseSpec = None) -> Observation:
        """The whole grid in the field's terms, see ``GridParallelEnv.observe_grid``."""
        seen = self.parallel.observe_grid(noise)
        return Observation(seen.task, seen.state, play=_alone, noise=seen.noise, allowance=seen.allowance)

    def render(self) -> Any:
        """See ``GridParallelEnv.render``."""
        return self.parallel.render()

    def close(self) -> None:
        """Nothing is held open."""


def _alone(task: Task, start: State) -> GridEnv:
    return GridEnv(ForecastEnv(task, start))
