"""What a step is worth to each zone. Names and formulas are Grid2Op's reward classes, checked against their values.

A reward is a function ``(system, before, action, ruling, after) -> (n_env, n_zone)``; the ones here take a scope:
``"team"`` gives every zone the value of the whole grid, ``"zone"`` that of its own elements (a tie line counts in both
of its zones). Where a reward has a value for refused actions, only the zone whose action was refused gets it.
"""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State

RewardFn = Callable[[System, State, Action, Ruling, State], np.ndarray]
SCOPES = ("team", "zone")


@dataclass(frozen=True)
class _Scoped:
    scope: str = "team"

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope is {self.scope!r}, choose from {SCOPES}")


@dataclass(frozen=True)
class SurvivalReward(_Scoped):
    """``step`` for a step that the grid survives, ``blackout`` for the one in which it is lost."""

    step: float = 1.0
    blackout: float = -10.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        return _spread(np.where(after.lost, self.blackout, self.step)[:, None], system)


@dataclass(frozen=True)
class LinesCapacityReward(_Scoped):
    """1 minus the mean rho of the connected lines, inside [0, 1]; 0 at a blackout and for a refused action."""

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = _groups(system, self.scope)
        values = _spare_capacity(after.rho, after.topology.topo_vect, groups.line_pos, groups.line, groups.n)
        return np.where(after.lost[:, None] | ~ruling.accepted, 0.0, _spread(values, system))


@dataclass(frozen=True)
class L2RPNReward(_Scoped):
    """Sum over the lines of ``1 - (I / limit)^2``, none below 0; a line that is out counts 1.

    0 at the last step of an episode, won or lost. Refused actions are not punished. The limit is increased by 0.1 A.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = _groups(system, self.scope)
        values = _squared_loading_margin(after.flow.a_or, system.thermal_limit, groups.line, groups.n)
        return np.where(after.running[:, None], _spread(values, system), 0.0)


@dataclass(frozen=True)
class EconomicReward(_Scoped):
    """1 minus the cost of production over that of all generators at pmax; 0 at a blackout and for a refused action.

    A zone without costs gets 1.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups, grid = _groups(system, self.scope), system.grid
        values = _saved(after.flow.gen_p, grid.gen_cost_per_mw, grid.gen_pmax, groups.gen, groups.n)
        return np.where(after.lost[:, None] | ~ruling.accepted, 0.0, _spread(values, system))


@dataclass(frozen=True)
class RedispReward(_Scoped):
    """What remains of the highest cost, per MW of load, after losses, redispatch and storage use are paid.

    Each MWh is priced at the dearest generator that runs; redispatch costs ``alpha`` times as much. -10 when the last
    step is lost or refused, 0 for a refused action before that. In the zone scope a zone pays for its own lines (half
    of a tie line's losses), generators and storages, and the zones' mean is the team's value (but for shunts).
    """

    alpha: float = 5.0
    at_worst: float = -10.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups, grid, flow = _groups(system, self.scope), system.grid, after.flow
        values = _redispatch_margin(
            (flow.gen_p, flow.load_p, flow.p_or, flow.p_ex, after.dispatch.actual, after.dispatch.storage_power),
            (grid.gen_cost_per_mw, grid.gen_pmax),
            (groups.line, groups.gen, groups.storage),
            groups.n,
            self.alpha,
            system.delta_time / 60.0,
        )
        values = np.where(ruling.accepted, _spread(values, system), 0.0)
        failed = after.lost[:, None] | (~after.running[:, None] & ~ruling.accepted)
        return np.where(failed, self.at_worst, values)


@dataclass(frozen=True)
class WeightedSum:
    """Several rewards, each with its weight."""

    parts: tuple[tuple[RewardFn, float], ...]

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        total = np.zeros(ruling.accepted.shape)
        for reward, weight in self.parts:
            total = total + weight * values_of(reward, system, before, action, ruling, after)
        return total


@dataclass(frozen=True)
class NegativeMean:
    """Minus the mean of the zones' rewards: what an opponent gains."""

    reward: RewardFn

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        """(n_env,)."""
        return -values_of(self.reward, system, before, action, ruling, after).mean(axis=1)


def _flat(scope: str) -> SurvivalReward:
    """Grid2Op's FlatReward: 1 for each step survived, else 0."""
    return SurvivalReward(scope, blackout=0.0)


REWARDS: dict[str, Callable[[str], RewardFn]] = {
    "survival": SurvivalReward,
    "flat": _flat,
    "LinesCapacityReward": LinesCapacityReward,
    "L2RPNReward": L2RPNReward,
    "RedispReward": RedispReward,
    "EconomicReward": EconomicReward,
}


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


def values_of(
    reward: RewardFn, system: System, before: State, action: Action, ruling: Ruling, after: State
) -> np.ndarray:
    """(n_env, n_zone) float64 of any reward function; (n_env,) values count for every zone.

    Raises ValueError when a function returns another shape.
    """
    values = np.asarray(reward(system, before, action, ruling, after), dtype=np.float64)
    shape = ruling.accepted.shape
    if values.shape == shape:
        return values
    if values.shape == shape[:1]:
        return np.broadcast_to(values[:, None], shape)
    raise ValueError(
        f"the reward {reward!r} returned the shape {values.shape}: give one value per environment and zone {shape}, "
        f"or one per environment {shape[:1]}"
    )


# ---------------------------------------------------------------------------------------------------- sums by group
class _Groups(NamedTuple):
    """Which group an element counts in: its zone, or the one group of all."""

    n: int
    line: np.ndarray
    """(2, n_line) int32 of the origin and of the extremity."""
    line_pos: np.ndarray
    """(n_line,) place of the origin in the topology vector."""
    gen: np.ndarray
    storage: np.ndarray


@lru_cache(maxsize=32)
def _groups(system: System, scope: str) -> _Groups:
    zones, grid = system.zones, system.grid
    one = 1 if scope == "zone" else 0
    return _Groups(
        n=system.n_zone if scope == "zone" else 1,
        line=np.stack([zones.line_or, zones.line_ex]).astype(np.int32) * one,
        line_pos=grid.line_or_pos_topo_vect,
        gen=zones.gen.astype(np.int32) * one,
        storage=zones.storage.astype(np.int32) * one,
    )


def _short(name: str) -> str:
    return name.lower().replace("_", "").removesuffix("reward")


def _spread(values: np.ndarray, system: System) -> np.ndarray:
    """(n_env, n_zone) out of one column for all, or one per zone."""
    return values if values.shape[1] == system.n_zone else np.repeat(values, system.n_zone, axis=1)


@njit(cache=True)
def _saved(gen_p, cost, pmax, group, n):  # pragma: no cover
    """1 - cost of production / cost of all generators of the group at pmax."""
    saved = np.ones((gen_p.shape[0], n))
    for e in range(gen_p.shape[0]):
        spent, dearest = np.zeros(n), np.zeros(n)
        for i in range(gen_p.shape[1]):
            spent[group[i]] += gen_p[e, i] * cost[i]
            dearest[group[i]] += pmax[i] * cost[i]
        for g in range(n):
            if dearest[g] > 0:
                saved[e, g] = 1.0 - spent[g] / dearest[g]
    return saved


@njit(cache=True)
def _redispatch_margin(flows, generators, groups, n, alpha, hours):  # pragma: no cover
    """(highest cost - n * cost of the group) / load; the one group of all loses what is produced but not consumed."""
    gen_p, load_p, p_or, p_ex, redispatch, storage = flows
    cost_per_mw, pmax = generators
    line_group, gen_group, storage_group = groups
    highest = (0.05 + alpha) * pmax.sum() * max(cost_per_mw.max(), 0.0) * hours
    margin = np.empty((gen_p.shape[0], n))
    for e in range(gen_p.shape[0]):
        paid = np.zeros(n)
        price = 0.0
        for i in range(gen_p.shape[1]):
            if gen_p[e, i] > 0:
                price = max(price, cost_per_mw[i])
            paid[gen_group[i]] += alpha * abs(redispatch[e, i])
        for i in range(storage.shape[1]):
            paid[storage_group[i]] += abs(storage[e, i])
        if n == 1:
            paid[0] += gen_p[e].sum() - load_p[e].sum()
        else:
            for l in range(p_or.shape[1]):
                lost = p_or[e, l] + p_ex[e, l]
                paid[line_group[0, l]] += 0.5 * lost
                paid[line_group[1, l]] += 0.5 * lost
        load = load_p[e].sum()
        for g in range(n):
            margin[e, g] = (highest - n * paid[g] * price * hours) / (load if load > 0 else 1.0)
    return margin


@njit(cache=True)
def _spare_capacity(rho, topo_vect, line_pos, group, n):  # pragma: no cover
    """1 - mean rho of the connected lines of a group; 0 for a group without any."""
    spare = np.zeros((rho.shape[0], n))
    for e in range(rho.shape[0]):
        loading, connected = np.zeros(n), np.zeros(n)
        for l in range(rho.shape[1]):
            if topo_vect[e, line_pos[l]] < 0:
                continue
            for end in range(2):
                if end == 1 and group[1, l] == group[0, l]:
                    continue
                loading[group[end, l]] += rho[e, l]
                connected[group[end, l]] += 1
        for g in range(n):
            if connected[g] > 0:
                spare[e, g] = 1.0 - min(max(loading[g] / connected[g], 0.0), 1.0)
    return spare


@njit(cache=True)
def _squared_loading_margin(a_or, limit, group, n):  # pragma: no cover
    margin = np.zeros((a_or.shape[0], n))
    for e in range(a_or.shape[0]):
        for l in range(a_or.shape[1]):
            loading = min(a_or[e, l] / (limit[l] + 0.1), 1.0)
            margin[e, group[0, l]] += 1.0 - loading * loading
            if group[1, l] != group[0, l]:
                margin[e, group[1, l]] += 1.0 - loading * loading
    return margin
