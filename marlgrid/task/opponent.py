"""Scripted attackers. An opponent decides when to attack which line; whether it may is for the rules to say.

An opponent keeps nothing on itself: its memory is a value that goes in and out, and its draws are a function of the
episode's seed and step, so an episode replays whatever happened in between. Attackers and their probabilities are
Grid2Op's, with two differences: an attack that is due waits until the rules allow it, and each strikes one line.
"""

# ruff: noqa: ARG002 (an attacker need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from marlgrid import seeding
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, no_attack
from marlgrid.simulation.rules import attack_allowed
from marlgrid.simulation.state import State

STREAM_LINE = 201
STREAM_WAIT = 202
STREAM_DURATION = 203


class Opponent(Protocol):
    """Whoever attacks lines. ``memory`` is a (nested) NamedTuple of arrays with a leading n_env axis, or ``()``."""

    def reset(self, system: System, state: State) -> Any:
        """The memory at the start of the episodes in ``state``."""

    def attack(self, system: System, state: State, memory: Any) -> tuple[Attack, Any]:
        """The attack to start on the state that the zones see, and the next memory."""


@dataclass(frozen=True)
class NoOpponent:
    """Never attacks."""

    def reset(self, system: System, state: State) -> tuple[()]:
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        return no_attack(state.n_env, system.grid.n_line), memory


@dataclass(frozen=True)
class RandomOpponent:
    """Attacks whenever it may: any line that may be attacked, with equal probability (Grid2Op's RandomLineOpponent)."""

    duration: int | None = None
    """Steps; None for the longest allowed."""

    def reset(self, system: System, state: State) -> tuple[()]:
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        duration = np.full(state.n_env, self.duration or system.attack.max_duration, dtype=np.int32)
        allowed = attack_allowed(system, state, duration)
        return _strike(state, allowed.astype(np.float64), duration), memory


class Waiting(NamedTuple):
    """Memory of ``WeightedOpponent``."""

    steps: np.ndarray
    """(n_env,) int32 steps still to wait, -1 when no attack is planned yet."""


@dataclass(frozen=True)
class WeightedOpponent:
    """Prefers loaded lines: probability in proportion to rho (Grid2Op's WeightedRandomOpponent).

    Once its cooldown is over it waits a number of steps drawn evenly from 0 to ``period - 1``, then strikes as soon as
    the rules allow it. Raises ValueError for a period below 1.
    """

    period: int = 288
    normalisation: tuple[float, ...] = ()
    """By attackable line, what its rho is divided by (Grid2Op's ``rho_normalization``); empty for 1."""

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ValueError(f"period is {self.period} steps, give at least 1")

    def reset(self, system: System, state: State) -> Waiting:
        _scale(system, self.normalisation)
        return Waiting(np.full(state.n_env, -1, dtype=np.int32))

    def attack(self, system: System, state: State, memory: Waiting) -> tuple[Attack, Waiting]:
        drawn = seeding.uniform(state.seed, state.t, STREAM_WAIT, 1)[:, 0]
        able = state.attack.cooldown == 0
        steps = np.where(able & (memory.steps < 0), (drawn * self.period).astype(np.int32), memory.steps)
        duration = np.full(state.n_env, system.attack.max_duration, dtype=np.int32)
        allowed = attack_allowed(system, state, duration) & (steps == 0)[:, None]
        weight = allowed * (state.rho / _scale(system, self.normalisation) + 1e-9)
        attack = _strike(state, weight, duration)
        struck = allowed.any(axis=1)
        steps = np.where(struck, -1, np.where(steps > 0, steps - 1, steps))
        return attack, Waiting(steps.astype(np.int32))


class Plan(NamedTuple):
    """Memory of ``GeometricOpponent``."""

    wait: np.ndarray
    """(n_env,) int32 steps until the next attack is due; it stays 0 while the rules do not allow it."""
    duration: np.ndarray
    """(n_env,) int32 steps that attack will last."""


@dataclass(frozen=True)
class GeometricOpponent:
    """Waits and strikes for times drawn from geometric laws (Grid2Op's GeometricOpponent).

    The time from the end of an attack to the next is geometric with mean ``every_hours - average_hours``; a duration
    is ``minimum_hours`` plus a geometric time with mean ``average_hours - minimum_hours``, at most the longest allowed.
    Lines are ranked by rho; the most loaded is ``pmax_pmin_ratio`` times as likely as the least.
    """

    every_hours: float = 24.0
    average_hours: float = 4.0
    minimum_hours: float = 2.0
    pmax_pmin_ratio: float = 4.0

    def __post_init__(self) -> None:
        if not self.every_hours > self.average_hours > self.minimum_hours >= 0:
            raise ValueError(
                f"every_hours ({self.every_hours}) must exceed average_hours ({self.average_hours}), and that "
                f"minimum_hours ({self.minimum_hours})"
            )
        if not self.pmax_pmin_ratio >= 1:
            raise ValueError(f"pmax_pmin_ratio is {self.pmax_pmin_ratio}, give at least 1")

    def reset(self, system: System, state: State) -> Plan:
        return self._plan(system, state)

    def attack(self, system: System, state: State, memory: Plan) -> tuple[Attack, Plan]:
        due = memory.wait == 0
        waiting = Plan(np.maximum(memory.wait - 1, 0), memory.duration)
        if not due.any():
            return no_attack(state.n_env, system.grid.n_line), waiting
        allowed = attack_allowed(system, state, memory.duration) & due[:, None]
        attack = _strike(state, self._preference(state.rho, allowed), memory.duration)
        struck = allowed.any(axis=1)
        following = self._plan(system, state)
        wait = np.where(struck, memory.duration + following.wait - 1, waiting.wait)  # this step counts
        duration = np.where(struck, following.duration, memory.duration)
        return attack, Plan(wait.astype(np.int32), duration.astype(np.int32))

    def _plan(self, system: System, state: State) -> Plan:
        per_hour = 60.0 / system.delta_time
        wait = _geometric(state, STREAM_WAIT, (self.every_hours - self.average_hours) * per_hour)
        extra = _geometric(state, STREAM_DURATION, (self.average_hours - self.minimum_hours) * per_hour)
        duration = np.minimum(round(self.minimum_hours * per_hour) + extra, system.attack.max_duration)
        return Plan(wait.astype(np.int32), duration.astype(np.int32))

    def _preference(self, rho: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """(n_env, n_line) weights, exponential in the rank by rho among the lines that may be attacked."""
        rank = np.argsort(np.argsort(np.where(allowed, rho, np.inf), axis=1, kind="stable"), axis=1)
        others = np.maximum(allowed.sum(axis=1) - 1, 1)
        return np.where(allowed, np.exp(math.log(self.pmax_pmin_ratio) * rank / others[:, None]), 0.0)


OPPONENTS: dict[str, type] = {
    "none": NoOpponent,
    "random": RandomOpponent,
    "weighted": WeightedOpponent,
    "geometric": GeometricOpponent,
}


def opponent_from(spec: str | Opponent | None) -> Opponent:
    """An attacker by its name, or the object itself; None never attacks. Raises ValueError for an unknown name."""
    if spec is None:
        return NoOpponent()
    if isinstance(spec, str):
        if spec not in OPPONENTS:
            raise ValueError(f"unknown opponent {spec!r}; choose from {sorted(OPPONENTS)}, or give an object")
        made: Opponent = OPPONENTS[spec]()
        return made
    if not (callable(getattr(spec, "reset", None)) and callable(getattr(spec, "attack", None))):
        raise TypeError(
            f"{spec!r} is no opponent: give a name ({sorted(OPPONENTS)}) or an object with reset and attack"
        )
    return spec


def _strike(state: State, weight: np.ndarray, duration: np.ndarray) -> Attack:
    """One line per environment, drawn in proportion to ``weight`` (n_env, n_line); none where all weights are 0."""
    n_env, n_line = weight.shape
    until = np.cumsum(weight, axis=1)
    total = until[:, -1] if n_line else np.zeros(n_env)
    drawn = seeding.uniform(state.seed, state.t, STREAM_LINE, 1)[:, 0] * total
    drawn = np.minimum(drawn, np.nextafter(total, 0.0))  # rounding must not pass the last line with a weight
    chosen = (until <= drawn[:, None]).sum(axis=1)
    durations = np.zeros((n_env, n_line), dtype=np.int32)
    rows = np.flatnonzero(total > 0)
    durations[rows, np.minimum(chosen[rows], n_line - 1)] = duration[rows]
    return Attack(durations)


def _geometric(state: State, stream: int, mean: float) -> np.ndarray:
    """(n_env,) whole numbers from 1 on with the given mean (at least 1)."""
    if mean <= 1:
        return np.ones(state.n_env, dtype=np.int64)
    drawn = seeding.uniform(state.seed, state.t, stream, 1)[:, 0]
    return 1 + np.floor(np.log1p(-drawn) / math.log1p(-1.0 / mean)).astype(np.int64)


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
