"""What a step is worth to each zone. Names and formulas are Grid2Op's reward classes, checked against their values.

A reward is a function ``(system, before, action, ruling, after) -> (n_env, n_zone)``; the named ones take a scope:
``"team"`` gives every zone the value of the whole grid, ``"zone"`` that of its own elements (a tie line counts in both
of its zones). Where a reward has a value for refused actions, only the zone whose action was refused gets it. They
also tell their ``range``. docs/rewards.md has them all in one table.
"""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.reward_values import RewardFn, bound, range_of, values_of
from marlgrid.task.rewards_attention import AlarmReward, AlertReward
from marlgrid.task.rewards_difference import DifferenceReward
from marlgrid.task.rewards_economy import EconomicReward, L2RPNSandBoxScore, L2RPNWCCI2022ScoreFun, RedispReward
from marlgrid.task.rewards_episode import (
    ConstantReward,
    EpisodeDurationReward,
    FlatReward,
    GameplayReward,
    IncreasingFlatReward,
    SurvivalReward,
)
from marlgrid.task.rewards_lines import (
    CloseToOverflowReward,
    L2RPNReward,
    LinesCapacityReward,
    LinesReconnectedReward,
    N1Reward,
    SquaredMarginReward,
)
from marlgrid.task.rewards_topology import BridgeReward, DistanceReward
from marlgrid.task.scope import Bound, Range


@dataclass(frozen=True)
class WeightedSum:
    """Several rewards, each with its weight."""

    parts: tuple[tuple[RewardFn, float], ...]

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        total = np.zeros(ruling.accepted.shape)
        for reward, weight in self.parts:
            _add(total, weight, values_of(reward, system, before, action, ruling, after))
        return total

    def bind(self, series: TimeSeries, solver: PowerFlow) -> WeightedSum:
        """With its parts on a task's time series and power flow."""
        return replace(self, parts=tuple((bound(part, series, solver), weight) for part, weight in self.parts))

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        """The weighted sum of the parts' ranges; ValueError if one of them is a plain function."""
        lowest: Bound = 0.0
        highest: Bound = 0.0
        for part, weight in self.parts:
            one, other = (weight * np.asarray(end) for end in range_of(part, system, n_step))
            lowest, highest = lowest + np.minimum(one, other), highest + np.maximum(one, other)
        return lowest, highest


@dataclass(frozen=True)
class CombinedScaledReward:
    """A reward mapped linearly from its range to ``[reward_min, reward_max]``; meant for a weighted sum."""

    reward: RewardFn
    reward_min: float = -0.5
    reward_max: float = 0.5

    def __post_init__(self) -> None:
        if not self.reward_min < self.reward_max:
            raise ValueError(f"reward_min {self.reward_min} must be below reward_max {self.reward_max}")
        if not hasattr(self.reward, "range"):
            raise ValueError(f"{self.reward!r} has no range to scale from: give one that has the method range")

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        lowest, highest = range_of(self.reward, system, (after.t_end - after.t_start)[:, None])
        if not (np.isfinite(lowest) & np.isfinite(highest) & (np.asarray(lowest) < highest)).all():
            raise ValueError(f"{self.reward!r} cannot be scaled: its values go from {lowest} to {highest}")
        values = values_of(self.reward, system, before, action, ruling, after)
        share = np.clip((values - lowest) / (np.asarray(highest) - lowest), 0.0, 1.0)
        return self.reward_min + share * (self.reward_max - self.reward_min)

    def bind(self, series: TimeSeries, solver: PowerFlow) -> CombinedScaledReward:
        """With its parts on a task's time series and power flow."""
        return replace(self, reward=bound(self.reward, series, solver))

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return self.reward_min, self.reward_max


@dataclass(frozen=True)
class NegativeMean:
    """Minus the mean of the zones' rewards: what an opponent gains."""

    reward: RewardFn

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        """(n_env,)."""
        return -values_of(self.reward, system, before, action, ruling, after).mean(axis=1)

    def bind(self, series: TimeSeries, solver: PowerFlow) -> NegativeMean:
        """With its parts on a task's time series and power flow."""
        return replace(self, reward=bound(self.reward, series, solver))

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        lowest, highest = range_of(self.reward, system, n_step)
        return -highest, -lowest


REWARDS: dict[str, Callable[[str], RewardFn]] = {
    "survival": SurvivalReward,
    **{
        maker.__name__: maker
        for maker in (
            ConstantReward,
            FlatReward,
            IncreasingFlatReward,
            EpisodeDurationReward,
            GameplayReward,
            LinesCapacityReward,
            L2RPNReward,
            SquaredMarginReward,
            CloseToOverflowReward,
            LinesReconnectedReward,
            N1Reward,
            DistanceReward,
            BridgeReward,
            EconomicReward,
            RedispReward,
            L2RPNSandBoxScore,
            L2RPNWCCI2022ScoreFun,
            AlarmReward,
            AlertReward,
            DifferenceReward,
        )
    },
}
"""Name -> what makes the reward of a scope, all else by default."""


def reward_from(spec: str | RewardFn | Mapping[Any, float], scope: str = "team") -> RewardFn:
    """A reward by its name, a function, or a mapping of names and functions to weights.

    Names may be shortened (``"lines_capacity"`` is ``"LinesCapacityReward"``). ``scope`` is that of the named ones.
    Raises ValueError for an unknown name or a weight that is not a finite number, TypeError for anything else.
    """
    if isinstance(spec, str):
        known = {_short(name): maker for name, maker in REWARDS.items()}
        if _short(spec) not in known:
            raise ValueError(f"unknown reward {spec!r}; choose from {list(REWARDS)}, or give a function")
        return known[_short(spec)](scope)
    if isinstance(spec, Mapping):
        if not spec:
            raise ValueError("a weighted reward needs at least one part, such as {'survival': 1.0}")
        for name, weight in spec.items():
            if isinstance(weight, str) or not np.isscalar(weight) or not np.isfinite(weight):
                raise ValueError(f"the weight of reward {name!r} is {weight!r}, give a finite number")
        return WeightedSum(tuple((reward_from(part, scope), float(weight)) for part, weight in spec.items()))
    if callable(spec):
        return spec
    raise TypeError(f"{spec!r} is no reward: give a name ({list(REWARDS)}), a function, or a mapping to weights")


def of_running(values: np.ndarray, outcome_before: np.ndarray) -> np.ndarray:
    """(n_zone + 1, n_env): the values (n_env, n_zone) of episodes that were running, then minus their mean; else 0."""
    n_env, n_zone = values.shape
    counted = np.empty((n_zone + 1, n_env))
    _of_running(values, outcome_before, counted)
    return counted


def _short(name: str) -> str:
    return name.lower().replace("_", "").removesuffix("reward")


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _add(total, weight, values):  # pragma: no cover
    for e in range(total.shape[0]):
        for z in range(total.shape[1]):
            total[e, z] += weight * values[e, z]


@kernel_in_place
def _of_running(values, outcome_before, counted):  # pragma: no cover
    n_env, n_zone = values.shape
    for e in range(n_env):
        counted[n_zone, e] = 0.0
        for z in range(n_zone):
            counted[z, e] = values[e, z] if outcome_before[e] == Outcome.RUNNING else 0.0
            counted[n_zone, e] += counted[z, e] * (-1.0 / n_zone)
