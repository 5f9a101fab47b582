"""What agents hand to a vector environment, as one answer per environment; what it means is the task's to check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from marlgrid.simulation.action import Commands


def per_env(agent: str, space: spaces.Space[Any], actions: Any, n_envs: int) -> Sequence[Any]:
    """One action per environment out of an array (n_envs, ...), a list, or a dict of arrays (n_envs, ...).

    Raises TypeError for anything else, ValueError for another number of actions than environments.
    """
    if type(actions) is np.ndarray and actions.ndim and len(actions) == n_envs:
        return actions  # type: ignore[return-value]
    if isinstance(space, spaces.Dict) and isinstance(actions, Mapping):
        columns = {key: per_env(f"{agent}, {key}", space, values, n_envs) for key, values in actions.items()}
        return [{key: column[row] for key, column in columns.items()} for row in range(n_envs)]
    if isinstance(actions, (str, Mapping, Commands)) or not hasattr(actions, "__len__"):
        kind = type(actions).__name__
        raise TypeError(
            f"{agent}: actions is a {kind}, give an array or a list of one action per environment ({n_envs})"
        )
    if len(actions) != n_envs:
        raise ValueError(f"{agent}: {len(actions)} actions were given for {n_envs} environments")
    return actions
