"""Who answers in ``step``, and for how many environments; what the answers mean is the task's to check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium import spaces

from marlgrid.simulation.action import Commands


def check_agents(agents: Sequence[str], actions: Any) -> None:
    """Raises unless ``actions`` maps every agent, and nobody else, to something."""
    if not isinstance(actions, Mapping):
        raise TypeError(
            f"actions is a {type(actions).__name__}, give a dict with one action for each of {list(agents)}"
        )
    if len(actions) == len(agents) and all(agent in actions for agent in agents):
        return
    unknown = [name for name in actions if name not in agents]
    if unknown:
        raise KeyError(f"actions for unknown agent(s) {unknown}; the agents are {list(agents)}")
    missing = [agent for agent in agents if agent not in actions]
    raise KeyError(f"no action for agent(s) {missing}; give one for each of {list(agents)}")


def per_env(agent: str, space: spaces.Space[Any], actions: Any, n_envs: int) -> Sequence[Any]:
    """One action per environment out of an array (n_envs, ...), a list, or a dict of arrays (n_envs, ...).

    Raises TypeError for anything else, ValueError for another number of actions than environments.
    """
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
    return actions  # type: ignore[no-any-return]
