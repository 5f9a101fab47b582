"""What a step cost: per-zone costs and the totals of an episode, as the numbers that infos show."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.frame import FramedState, framed, view_frame
from marlgrid.simulation.state import Outcome, State

ZONE_KEYS = (
    "illegal",
    "reason",
    "cost_overload",
    "cost_disconnected",
    "cost_unserved_mwh",
    "max_rho",
    "survived_steps",
    "survival",
    "outcome",
    "attacks_total",
    "illegal_total",
    "overload_total",
    "unserved_mwh_total",
)
"""Infos of a zone, all float64: whether its action was refused and why (``Reason``); of its lines (ties included) the
summed ``max(0, rho - 1)``, the number that is out, the largest rho; at a blackout the MWh of load that it does not get
from then to the episode's end; steps survived, also as a part of the episode; ``Outcome``; sums over the episode."""

N_ZONE_KEYS = len(ZONE_KEYS)

NEWLY_LOST = 2

OPPONENT_KEYS = ("illegal", "budget", "survived_steps", "survival", "outcome", "attacks_total")
"""Infos of the opponent: whether its attack was refused, its budget in line-steps, and the episode's figures."""

N_OPPONENT_KEYS = len(OPPONENT_KEYS)


def zero_totals(n_env: int, n_zone: int) -> np.ndarray:
    """(n_env, 3, n_zone) sums over an episode at its start: refused actions, overload, unserved MWh."""
    return np.zeros((n_env, 3, n_zone))


class Figures(NamedTuple):
    """What the infos show, and which episodes are over."""

    zones: tuple[str, ...]
    numbers: np.ndarray
    """(n, n_env) float64: of each zone those of ``ZONE_KEYS``, end to end, then those of ``OPPONENT_KEYS``."""
    terminated: np.ndarray
    """(n_env,) bool: the grid is lost."""
    truncated: np.ndarray
    """(n_env,) bool: the time limit is reached."""
    some_over: bool
    """An episode is over."""
    opponent: str | None
    """Name of the opponent, where it is an agent."""

    def infos(self) -> dict[str, dict[str, np.ndarray]]:
        """Agent -> key -> (n_env,)."""
        return _naming(self.zones, self.opponent)(self.numbers)

    def infos_of(self, env: int) -> dict[str, dict[str, Any]]:
        """Agent -> key -> float, of one environment."""
        return _naming(self.zones, self.opponent)(self.numbers[:, env].tolist())


@lru_cache(maxsize=64)
def _naming(zones: tuple[str, ...], opponent: str | None) -> Callable[[Any], dict[str, dict[str, Any]]]:
    """The function that puts the numbers of ``Figures`` under agents and keys: with the keys in its text, it takes less
    than half of the time that dicts put together by loops take."""
    keys = {**dict.fromkeys(zones, ZONE_KEYS), **({} if opponent is None else {opponent: OPPONENT_KEYS})}
    at = count()
    dicts = (f"{agent!r}: {{{', '.join(f'{key!r}: n[{next(at)}]' for key in own)}}}" for agent, own in keys.items())
    made: Callable[[Any], dict[str, dict[str, Any]]] = eval(f"lambda n: {{{', '.join(dicts)}}}")
    return made


def account(
    system: System, demand: Demand, after: FramedState, totals: np.ndarray, opponent: str | None
) -> tuple[Figures, np.ndarray]:
    """The figures of the step that led to ``after``, and the totals with it. Ended rows cost nothing."""
    figures, totals, newly_lost = _figures(system, after, True, totals, opponent)
    if newly_lost:
        for env in np.flatnonzero(after.memory.frame.ran & figures.terminated).tolist():
            unserved = demand.mwh(after.scenario.item(env), after.t.item(env), after.t_end.item(env))
            _leave_unserved(env, unserved, totals, figures.numbers)
    return figures, totals


def glance(system: System, state: State, totals: np.ndarray, opponent: str | None) -> Figures:
    """The figures of ``account`` for a state that no step led to: nothing is added to the totals."""
    return _figures(system, framed(system, state), False, totals, opponent)[0]


def _figures(
    system: System, state: FramedState, counted: bool, totals: np.ndarray, opponent: str | None
) -> tuple[Figures, np.ndarray, bool]:
    """The figures without unserved energy, the totals likewise, and whether a grid was lost in this step."""
    zones, n_env = system.zones.agents, state.memory.n_env
    numbers, sums = np.empty((len(zones) * N_ZONE_KEYS + N_OPPONENT_KEYS, n_env)), np.empty(totals.shape)
    terminated, truncated = np.empty(n_env, np.bool_), np.empty(n_env, np.bool_)
    over = _account(system.block, state.memory.block, counted, totals, sums, numbers, terminated, truncated)
    return Figures(zones, numbers, terminated, truncated, over > 0, opponent), sums, over == NEWLY_LOST


class Demand:
    """The energy that the loads of each zone ask for, summed up along a scenario from its end, as far as is asked."""

    MAX_BYTES = 32 * 2**20
    """Of the sums that are kept."""

    def __init__(self, system: System, series: TimeSeries) -> None:
        self._system, self._series = system, series
        self._left: dict[int, np.ndarray] = {}
        """Scenario -> (n, n_zone) MWh that its last 0, 1, ..., n - 1 rows ask for."""
        self._n_bytes = 0

    def mwh(self, scenario: int, t: int, t_end: int) -> np.ndarray:
        """(n_zone,) MWh that rows ``t`` to ``t_end`` of a scenario ask for: what a blackout at t leaves unserved."""
        n_row = self._series.n_rows(scenario)
        left = self._left.get(scenario)
        if left is None or len(left) <= n_row - t:
            self._n_bytes -= 0 if left is None else left.nbytes
            left = self._left[scenario] = self._summed(scenario, n_row, t, left)
            self._n_bytes += left.nbytes
            while self._n_bytes > self.MAX_BYTES and len(self._left) > 1:
                self._n_bytes -= self._left.pop(next(iter(self._left))).nbytes
        asked: np.ndarray = left[n_row - t] - left[n_row - 1 - t_end]
        return asked

    def _summed(self, scenario: int, n_row: int, t: int, known: np.ndarray | None) -> np.ndarray:
        """``_left`` of a scenario back to row ``t``."""
        system = self._system
        begun = np.zeros((1, system.n_zone)) if known is None else known
        rows = np.arange(n_row - len(begun), t - 1, -1)
        load = self._series.at(np.full(len(rows), scenario), rows).load_p * (system.delta_time / 60.0)
        by_zone = np.stack([load[:, system.zones.load == zone].sum(axis=1) for zone in range(system.n_zone)], axis=1)
        # one addition after the other, so that the sums do not depend on how far was asked before
        return np.concatenate([begun, np.cumsum(np.concatenate([begun[-1:], by_zone]), axis=0)[1:]])


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def _lines(e, rho, topo_vect, lines, cost):  # pragma: no cover
    """Overload, lines out and largest rho of each zone, end to end; a tie line counts in both of its zones."""
    for l in range(len(lines)):
        line = lines[l]
        overload, out = max(0.0, rho[e, l] - 1.0), topo_vect[e, line.or_pos] < 0
        for end in range(2):
            if end == 1 and line.or_zone == line.ex_zone:
                continue
            at = 3 * (line.or_zone if end == 0 else line.ex_zone)
            cost[at] += overload
            cost[at + 1] += out
            cost[at + 2] = max(cost[at + 2], rho[e, l])


@kernel_in_place
def _account(system, block, counted, before, totals, numbers, terminated, truncated):  # pragma: no cover
    """0: no episode is over; 1: some are; NEWLY_LOST: a grid was lost in this step, whose unserved energy is yet to be
    added."""
    frame, lines = view_frame(block), view_tables(system).line
    state, reason = frame.state, frame.ruling.reason
    n_env, _, n_zone = totals.shape
    cost, over = scratch(3 * n_zone, np.float64), 0
    for e in range(n_env):
        outcome, span = state.outcome[e], state.t_end[e] - state.t_start[e]
        terminated[e], truncated[e] = outcome > Outcome.TIME_LIMIT, outcome == Outcome.TIME_LIMIT
        newly_lost = counted and frame.ran[e] and terminated[e]
        over = max(over, NEWLY_LOST if newly_lost else int(outcome != Outcome.RUNNING))
        survived = state.t[e] - state.t_start[e] - terminated[e]
        running = frame.ran[e] if counted else outcome == Outcome.RUNNING
        for i in range(len(cost)):
            cost[i] = 0.0
        if running:
            _lines(e, state.rho, state.topology.topo_vect, lines, cost)
        for z in range(n_zone):
            at, why = N_ZONE_KEYS * z, reason[e, z] if counted and running else 0
            for k in range(3):
                totals[e, k, z] = before[e, k, z]
            if counted:
                totals[e, 0, z] += why != 0
                totals[e, 1, z] += cost[3 * z]
            numbers[at, e], numbers[at + 1, e] = why != 0, why
            numbers[at + 2, e], numbers[at + 3, e], numbers[at + 5, e] = cost[3 * z], cost[3 * z + 1], cost[3 * z + 2]
            numbers[at + 4, e] = 0.0
            numbers[at + 6, e], numbers[at + 7, e] = survived, survived / max(span, 1)
            numbers[at + 8, e], numbers[at + 9, e] = outcome, state.attack.starts[e]
            for k in range(3):
                numbers[at + 10 + k, e] = totals[e, k, z]
        at = N_ZONE_KEYS * n_zone
        numbers[at, e] = counted and frame.ruling.attack_refused[e]
        numbers[at + 1, e] = state.attack.budget[e]
        numbers[at + 2, e] = survived
        numbers[at + 3, e] = survived / max(span, 1)
        numbers[at + 4, e] = outcome
        numbers[at + 5, e] = state.attack.starts[e]
    return over


@kernel_in_place
def _leave_unserved(e, unserved, totals, numbers):  # pragma: no cover
    """Adds what each zone's loads do not get after a blackout."""
    for z in range(totals.shape[2]):
        totals[e, 2, z] += unserved[z]
        numbers[N_ZONE_KEYS * z + 4, e] = unserved[z]
        numbers[N_ZONE_KEYS * z + 12, e] = totals[e, 2, z]
