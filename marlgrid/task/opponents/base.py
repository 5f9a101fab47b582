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
from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.seeding import one_uniform
from marlgrid.simulation.action import Attack, no_attack
from marlgrid.simulation.frame import framed, view_frame
from marlgrid.simulation.rules import free_lines
from marlgrid.simulation.state import State

STREAM_LINE = 201
STREAM_WAIT = 202
STREAM_DURATION = 203
ALIKE = np.zeros(0)
"""No scale: all lines are alike."""
ALL = np.zeros(0, dtype=np.bool_)
"""No choice of environments."""


class Opponent(Protocol):
    """Whoever attacks. ``memory`` is a (nested) NamedTuple of arrays with a leading n_env axis, or ``()``.

    An opponent that looks ahead has a third method, ``bind(series, solver) -> Opponent``: the task calls it once with
    its time series and power flow, and uses what it returns. One that has to know what zones would do has a fourth,
    ``bind_task(task) -> Opponent``, called then with the whole task. A method ``attack_among(system, state, memory,
    mine)`` may leave the other environments in peace where only those in ``mine`` (n_env,) bool are its own.
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


def idle(system: System, state: State) -> np.ndarray:
    """(n_env,) bool: no attack is in force."""
    found = np.empty(state.n_env, dtype=np.bool_)
    _idle(framed(system, state).memory.block, found)
    return found


def drawn_line(weight: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """(n_env,) a line in proportion to ``weight`` (n_env, n_line), -1 where all weights are 0.

    ``draw`` (n_env,) is in [0, 1).
    """
    line = np.empty(len(weight), dtype=np.int64)
    _draw_lines(weight, draw, line)
    return line


def strike(
    system: System,
    state: State,
    duration: int,
    ready: np.ndarray = ALL,
    scale: np.ndarray = ALIKE,
    mine: np.ndarray = ALL,
) -> Attack:
    """An attack of ``duration`` steps on one line in each environment, if the rules allow any.

    ``ready`` (n_env,) bool are the environments that are attacked, by default those without an attack in force, both
    only among ``mine`` (n_env,) bool if that is given. A line is drawn in proportion to its rho over ``scale``
    (n_line,), by default each with equal probability.
    """
    steps = np.empty(state.rho.shape, dtype=np.int32)
    _strike(system.block, framed(system, state).memory.block, mine, ready, duration, scale, steps)
    return Attack(steps)


def geometric(state: State, stream: int, mean: float, n: int) -> np.ndarray:
    """(n_env, n) whole numbers from 1 on with the given mean (at least 1), independent of one another."""
    if mean <= 1:
        return np.ones((state.n_env, n), dtype=np.int64)
    drawn = seeding.uniform(state.seed, state.t, stream, n)
    return 1 + np.floor(np.log1p(-drawn) / math.log1p(-1.0 / mean)).astype(np.int64)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _idle(block, found):  # pragma: no cover
    state = view_frame(block).state
    for e in range(len(found)):
        found[e] = _at_peace(state, e)


@rule
def _at_peace(state, e):  # pragma: no cover
    peace = True
    for l in range(state.attack.remaining.shape[1]):
        peace &= state.attack.remaining[e, l] == 0
    for s in range(state.attacked.sub.shape[1]):
        peace &= state.attacked.sub[e, s] <= 1
    return peace


@kernel_in_place
def _strike(system, block, mine, ready, duration, scale, steps):  # pragma: no cover
    tables, state = view_tables(system), view_frame(block).state
    n_line = len(tables.line)
    allowed, weight = scratch(n_line, np.bool_), scratch(n_line, np.float64)
    for e in range(steps.shape[0]):
        for l in range(n_line):
            steps[e, l] = 0
        if (len(mine) and not mine[e]) or not (ready[e] if len(ready) else _at_peace(state, e)):
            continue
        free_lines(tables, state, e, duration, allowed)
        for l in range(n_line):
            liked = state.rho[e, l] / scale[l] + 1e-9 if len(scale) else 1.0
            weight[l] = liked if allowed[l] else 0.0
        line = _drawn(weight, one_uniform(state.seed[e], state.t[e], STREAM_LINE))
        if line >= 0:
            steps[e, line] = duration


@kernel_in_place
def _draw_lines(weight, draw, line):  # pragma: no cover
    for e in range(len(line)):
        line[e] = _drawn(weight[e], draw[e])


@rule
def _drawn(weight, draw):  # pragma: no cover
    """A number in proportion to its weight, -1 if all weights are 0."""
    total, until, passed = 0.0, 0.0, 0
    for l in range(len(weight)):
        total += weight[l]
    for l in range(len(weight)):
        until += weight[l]
        # rounding must not pass the last line with a weight
        passed += until <= draw * total and until < total
    return passed if total > 0 else -1
