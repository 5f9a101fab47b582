"""Tasks to test with: the hand-sized grid with given currents, and the built-in cases with real physics."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.features import VectorObservation
from marlgrid.task.reward import reward_from
from marlgrid.task.task import Task
from tests.simulation.small import GivenCurrents, StillSeries, small_system


def small_task(
    system=None, series=None, solver=None, actions=None, observation=None, reward="survival", **fields
) -> Task:
    """Two zones and an opponent agent on the grid of ``small``."""
    system = system or small_system()
    series = series or StillSeries(system)
    fields = {"opponent_agent": "opponent" not in fields} | fields
    return Task(
        system,
        series,
        solver or GivenCurrents(system),
        actions or DiscreteActions(system),
        observation or VectorObservation(system, series),
        reward_from(reward) if isinstance(reward, (str, dict)) else reward,
        **fields,
    )


@lru_cache(maxsize=4)
def loaded(name: str):
    """A built-in case with rules that bite: cooldowns of three steps."""
    return load_case(name, parameters={"nb_timestep_cooldown_line": 3, "nb_timestep_cooldown_sub": 3})


def case_task(name: str, actions=DiscreteActions, observation=None, **fields) -> Task:
    case = loaded(name)
    fields = {"opponent_agent": "opponent" not in fields, "reward": reward_from("survival")} | fields
    return Task(
        case.system,
        case.series,
        power_flow("lightsim", case.system.grid),
        actions(case.system),
        observation or VectorObservation(case.system, case.series),
        **fields,
    )


def rest(task: Task, n_env: int = 1) -> dict[str, list[int]]:
    """Everybody does nothing, in a discrete task."""
    return {agent: [0] * n_env for agent in task.agents}


def masked_draw(rng: np.random.Generator, masks: dict, n_env: int) -> dict[str, list[int]]:
    """A random allowed action for every agent of a discrete task."""
    return {agent: [int(rng.choice(np.flatnonzero(mask[e]))) for e in range(n_env)] for agent, mask in masks.items()}
