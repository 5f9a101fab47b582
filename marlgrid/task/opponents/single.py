"""Attackers of one line at a time that strike as often as the rules let them."""

# ruff: noqa: ARG002 (an attacker need not use all it is given)
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marlgrid import seeding
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack
from marlgrid.simulation.state import State
from marlgrid.task.opponents.base import ALL, STREAM_WAIT, idle, strike


@dataclass(frozen=True)
class RandomOpponent:
    """Attacks whenever it may: any line that may be attacked, with equal probability (Grid2Op's RandomLineOpponent)."""

    duration: int | None = None
    """Steps; None for the longest allowed."""

    def reset(self, system: System, state: State) -> tuple[()]:
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        return self.attack_among(system, state, memory, ALL)

    def attack_among(
        self, system: System, state: State, memory: tuple[()], mine: np.ndarray
    ) -> tuple[Attack, tuple[()]]:
        return strike(system, state, self.duration or system.attack.max_duration, mine=mine), memory


class Waiting(NamedTuple):
    """Memory of ``WeightedOpponent``."""

    steps: np.ndarray
    """(n_env,) int32 steps still to wait, -1 when no attack is planned yet."""


@dataclass(frozen=True)
class WeightedOpponent:
    """Prefers loaded lines: probability in proportion to rho (Grid2Op's WeightedRandomOpponent).

    Once its last attack and its cooldown are over it waits a number of steps drawn evenly from 0 to ``period - 1``,
    then strikes as soon as the rules allow it. Raises ValueError for a period below 1.
    """

    period: int = 288
    """Steps."""
    normalisation: tuple[float, ...] = ()
    """What rho is divided by, by attackable line in the grid's order (Grid2Op's ``rho_normalization``); empty: 1."""

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ValueError(f"period is {self.period} steps, give at least 1")

    def reset(self, system: System, state: State) -> Waiting:
        _scale(system, self.normalisation)
        return Waiting(np.full(state.n_env, -1, dtype=np.int32))

    def attack(self, system: System, state: State, memory: Waiting) -> tuple[Attack, Waiting]:
        return self.attack_among(system, state, memory, ALL)

    def attack_among(self, system: System, state: State, memory: Waiting, mine: np.ndarray) -> tuple[Attack, Waiting]:
        drawn = seeding.uniform(state.seed, state.t, STREAM_WAIT, 1)[:, 0]
        able = (state.attack.cooldown == 0) & idle(system, state)
        steps = np.where(able & (memory.steps < 0), (drawn * self.period).astype(np.int32), memory.steps)
        attack = strike(system, state, system.attack.max_duration, steps == 0, _scale(system, self.normalisation), mine)
        struck = attack.duration.any(axis=1)
        steps = np.where(struck, -1, np.where(steps > 0, steps - 1, steps))
        return attack, Waiting(steps.astype(np.int32))


def _scale(system: System, normalisation: tuple[float, ...]) -> np.ndarray:
    """(n_line,) what rho is divided by."""
    scale = np.ones(system.grid.n_line)
    if normalisation:
        lines = np.flatnonzero(system.attackable)
        if len(normalisation) != len(lines) or min(normalisation) <= 0:
            raise ValueError(
                f"normalisation {normalisation} must be {len(lines)} positive numbers, one per attackable line in the "
                f"grid's order"
            )
        scale[lines] = normalisation
    return scale
