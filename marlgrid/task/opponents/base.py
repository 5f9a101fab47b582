"""What an opponent is, and what the scripted attackers share: one that never attacks, and draws.

An opponent keeps nothing on itself: its memory is a value that goes in and out, and its draws are a function of the
episode's seed and step, so an episode replays whatever happened in between. An opponent decides when to attack what;
whether it may is for the rules to say.
"""

# ruff: noqa: ARG002 (an attacker need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from marlgrid import seeding
from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, no_attack
from marlgrid.simulation.state import State

STREAM_LINE = 201
STREAM_WAIT = 202
STREAM_DURATION = 203


class Opponent(Protocol):
    """Whoever attacks. ``memory`` is a (nested) NamedTuple of arrays with a leading n_env axis, or ``()``.

    An opponent that looks ahead has a third method, ``bind(series, solver) -> Opponent``: the task calls it once with
    its time series and power flow, and uses what it returns. One that has to know what zones would do has a fourth,
    ``bind_task(task) -> Opponent``, called then with the whole task.
    """

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


def idle(state: State) -> np.ndarray:
    """(n_env,) bool: no attack is in force."""
    return np.asarray(~(state.attack.remaining.any(axis=1) | (state.attacked.sub > 1).any(axis=1)))


def drawn_line(weight: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """(n_env,) a line in proportion to ``weight`` (n_env, n_line), -1 where all weights are 0.

    ``draw`` (n_env,) is in [0, 1).
    """
    line = np.empty(len(weight), dtype=np.int64)
    _draw_line(weight, draw, line)
    return line


def strike(state: State, weight: np.ndarray, duration: np.ndarray) -> Attack:
    """An attack of ``duration`` (n_env,) steps on one line per environment, drawn in proportion to ``weight``."""
    line = drawn_line(weight, seeding.uniform(state.seed, state.t, STREAM_LINE, 1)[:, 0])
    durations = np.zeros(weight.shape, dtype=np.int32)
    rows = np.flatnonzero(line >= 0)
    durations[rows, line[rows]] = duration[rows]
    return Attack(durations)


def geometric(state: State, stream: int, mean: float, n: int) -> np.ndarray:
    """(n_env, n) whole numbers from 1 on with the given mean (at least 1), independent of one another."""
    if mean <= 1:
        return np.ones((state.n_env, n), dtype=np.int64)
    drawn = seeding.uniform(state.seed, state.t, stream, n)
    return 1 + np.floor(np.log1p(-drawn) / math.log1p(-1.0 / mean)).astype(np.int64)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _draw_line(weight, draw, line):  # pragma: no cover
    for e in range(len(line)):
        total, until, passed = 0.0, 0.0, 0
        for l in range(weight.shape[1]):
            total += weight[e, l]
        for l in range(weight.shape[1]):
            until += weight[e, l]
            # rounding must not pass the last line with a weight
            passed += until <= draw[e] * total and until < total
        line[e] = passed if total > 0 else -1
