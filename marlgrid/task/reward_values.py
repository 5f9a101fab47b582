"""What a reward function is, and how its values, its range and what it must be told are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.scope import Bound, Range

RewardFn = Callable[[System, State, Action, Ruling, State], np.ndarray]


def values_of(
    reward: RewardFn, system: System, before: State, action: Action, ruling: Ruling, after: State
) -> np.ndarray:
    """(n_env, n_zone) float64 of any reward function; (n_env,) values count for every zone.

    Raises ValueError when a function returns another shape.
    """
    values = np.ascontiguousarray(reward(system, before, action, ruling, after), dtype=np.float64)
    shape = ruling.accepted.shape
    if values.shape == shape:
        return values
    if values.shape == shape[:1]:
        of_all = np.empty(shape)
        of_all[:] = values[:, None]  # in less than half of the time of np.repeat
        return of_all
    raise ValueError(
        f"the reward {reward!r} returned the shape {values.shape}: give one value per environment and zone {shape}, "
        f"or one per environment {shape[:1]}"
    )


def range_of(reward: RewardFn, system: System, n_step: Bound = math.inf) -> Range:
    """Lowest and highest value of a step in an episode of ``n_step`` steps; ValueError for a function without range."""
    told = getattr(reward, "range", None)
    if told is None:
        raise ValueError(f"the reward {reward!r} does not tell its range: give it a method range(system, n_step)")
    lowest, highest = told(system, n_step)
    return lowest, highest


def bound(reward: RewardFn, series: TimeSeries, solver: PowerFlow) -> RewardFn:
    """The reward on a task's time series and power flow, if it has a method ``bind`` that asks for them."""
    bind = getattr(reward, "bind", None)
    return reward if bind is None else bind(series, solver)
