"""Rewards for how the episode goes: survived, lost, refused. A scope changes nothing here, refusals count by zone."""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.scope import Bound, Range, Scoped, spread, unless_lost


@dataclass(frozen=True)
class SurvivalReward(Scoped):
    """``step`` for a step that the grid survives, ``blackout`` for the one in which it is lost."""

    step: float = 1.0
    blackout: float = -10.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        return unless_lost(self.step, self.blackout, system, after)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return min(self.step, self.blackout), max(self.step, self.blackout)


@dataclass(frozen=True)
class ConstantReward(Scoped):
    """0, whatever happens."""

    BOUNDS: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        return np.zeros(ruling.accepted.shape)


@dataclass(frozen=True)
class FlatReward(Scoped):
    """``per_timestep`` for each step survived, 0 at a blackout. Refused actions are not punished."""

    per_timestep: float = 1.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        return unless_lost(self.per_timestep, 0.0, system, after)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return 0.0, self.per_timestep


@dataclass(frozen=True)
class IncreasingFlatReward(Scoped):
    """``per_timestep`` times the steps made so far, 0 at a blackout. Refused actions are not punished."""

    per_timestep: float = 1.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        made = self.per_timestep * (after.t - after.t_start)
        return spread(np.where(after.lost, 0.0, made)[:, None], system)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return 0.0, self.per_timestep * n_step


@dataclass(frozen=True)
class EpisodeDurationReward(Scoped):
    """At the last step of an episode, won or lost, the steps made as a share of its full length; 0 before."""

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        share = (after.t - after.t_start) / (after.t_end - after.t_start)
        return spread(np.where(after.running, 0.0, share)[:, None], system)


@dataclass(frozen=True)
class GameplayReward(Scoped):
    """1 for a step survived, -0.5 for a refused action, -1 for all at a blackout."""

    BOUNDS: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        return np.where(after.lost[:, None], -1.0, np.where(ruling.accepted, 1.0, -0.5))
