"""What an opponent that learns may be after, other than minus the reward of the zones."""

# ruff: noqa: ARG001, ARG002 - a reward need not use all it is given
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.accounts import Demand
from marlgrid.task.reward import RewardFn


@dataclass(frozen=True)
class UnservedEnergy:
    """At a blackout, the energy that is not served from then to the episode's end, as a part of the whole episode's."""

    demand: Demand

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        """(n_env,) from 0 to 1."""
        gained = np.zeros(after.n_env)
        for env in np.flatnonzero(before.running & after.lost):
            scenario, t, start, end = (int(of[env]) for of in (after.scenario, after.t, after.t_start, after.t_end))
            asked = self.demand.mwh(scenario, start, end).sum()
            gained[env] = self.demand.mwh(scenario, t, end).sum() / asked
        return gained


def sooner(system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
    """(n_env,) minus a step's part of the episode for each step survived: the sum is minus the survival."""
    return -(~after.lost).astype(np.float64) / np.maximum(after.t_end - after.t_start, 1)


def opponent_reward(name: str, system: System, series: TimeSeries) -> RewardFn | None:
    """By its name; None is minus the mean of the zones' rewards."""
    return {"team": None, "unserved": UnservedEnergy(Demand(system, series)), "blackout": sooner}[name]
