"""What each zone's own action was worth to the team: the step is taken again without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State, take
from marlgrid.simulation.step import advance
from marlgrid.task.opponents.tape import begun
from marlgrid.task.reward_values import RewardFn, bound, range_of, values_of
from marlgrid.task.rewards_lines import L2RPNReward
from marlgrid.task.scope import SCOPES, Bound, Range


@dataclass(frozen=True)
class DifferenceReward:
    """G(joint action) - G(joint action in which the zone does nothing), G being the mean over the zones of ``reward``.

    Everything else in the step stays as it was: the other zones' actions, the attack, the injections. 0 for a zone that
    asked for nothing. Each zone that asked for something costs one more step of the grid, all of a batch in one call.
    A foreseen step (``simulate``) is taken again on what was foreseen. A reward for a whole team whatever its scope.

    Wolpert and Tumer 2002, "Optimal payoff functions for members of collectives".
    """

    scope: str = "team"
    reward: RewardFn = field(default_factory=L2RPNReward)
    solver: PowerFlow | None = field(default=None, compare=False, repr=False)
    """That of the task, which sets it."""

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope is {self.scope!r}, choose from {SCOPES}")

    def bind(self, series: TimeSeries, solver: PowerFlow) -> DifferenceReward:
        """On the power flow of a task."""
        return replace(self, reward=bound(self.reward, series, solver), solver=solver)

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        difference = np.zeros(action.first.shape)
        env, zone = np.nonzero((action.first < action.last) & before.running[:, None])
        if len(env) == 0:
            return difference
        team = values_of(self.reward, system, before, action, ruling, after).mean(axis=1)
        difference[env, zone] = team[env] - self._without(system, before, action, after, env, zone)
        return difference

    def _without(
        self, system: System, before: State, action: Action, after: State, env: np.ndarray, zone: np.ndarray
    ) -> np.ndarray:
        """(n,) G of the steps of environments ``env`` (n,) in which the zones ``zone`` (n,) do nothing."""
        if self.solver is None:
            raise ValueError("a DifferenceReward takes a power flow: use it as the reward of a task, or bind it to one")
        fork, injections = take(before, env), take(after.injections, env)
        last = action.last[env]
        last[np.arange(len(env)), zone] = action.first[env, zone]
        less = Action(action.commands, action.first[env], last)
        attack = begun(system, before, after).rows(env)
        otherwise, ruling = advance(system, self.solver, fork, injections, less, attack)
        return values_of(self.reward, system, fork, less, ruling, otherwise).mean(axis=1)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        """As wide as that of ``reward`` on both sides of 0."""
        lowest, highest = range_of(self.reward, system, n_step)
        return lowest - highest, highest - lowest
