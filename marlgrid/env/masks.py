"""Where action masks go, and what observation spaces become with them."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces

from marlgrid.task.task import Task

MaskPlace = Literal["info", "observation", "both"] | None


def check_place(task: Task, place: MaskPlace) -> None:
    """Raises ValueError for an unknown place, or one that an agent's action space has no mask for."""
    places = get_args(get_args(MaskPlace)[0])
    if place is not None and place not in places:
        raise ValueError(f"unknown mask {place!r}; choose from {list(places)} or None")
    if place in ("observation", "both"):
        for agent in task.agents:
            if mask_space(task.action_space(agent)) is None:
                raise ValueError(
                    f"mask={place!r} needs discrete or multi-discrete actions, but {agent} has "
                    f"{task.action_space(agent)}; give mask='info' (agents with a mask get it there) or None"
                )


def mask_space(actions: spaces.Space[Any]) -> spaces.Space[Any] | None:
    """Space of the mask of an action space, None where masks make no sense: int8, 1 for what is allowed."""
    if isinstance(actions, spaces.Discrete):
        return spaces.Box(0, 1, (int(actions.n),), np.int8)
    if isinstance(actions, spaces.MultiDiscrete):
        return spaces.Tuple([spaces.Box(0, 1, (int(n),), np.int8) for n in actions.nvec])
    return None


def observation_space(task: Task, agent: str, place: MaskPlace) -> spaces.Space[Any]:
    """The agent's observation space with the mask in its place."""
    space = task.observation_space(agent)
    mask = mask_space(task.action_space(agent))
    if place not in ("observation", "both") or mask is None:
        return space
    return spaces.Dict({"observation": space, "action_mask": mask})
