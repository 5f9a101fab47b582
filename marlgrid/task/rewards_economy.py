"""Rewards for what running the grid costs: production, losses, redispatch, curtailment and storages."""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.scope import Bound, Groups, Range, Scoped, groups_of, spread, zero_if_failed


@dataclass(frozen=True)
class EconomicReward(Scoped):
    """1 minus the cost of production over that of all generators at pmax; 0 at a blackout and for a refused action.

    Inside [0, 1]. A zone without costs gets 1.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups, grid = groups_of(system, self.scope), system.grid
        values = _saved(after.flow.gen_p, grid.gen_cost_per_mw, grid.gen_pmax, groups.gen, groups.n)
        return zero_if_failed(values, ruling, after)


@dataclass(frozen=True)
class RedispReward(Scoped):
    """What remains of the highest cost, per MW of load, after losses, redispatch and storage use are paid.

    Each MWh is priced at the dearest generator that runs; redispatch costs ``alpha`` times as much. -10 when the last
    step is lost or refused, 0 for a refused action before that. The team's losses are production minus load, so shunt
    losses and the storages' net power are among them, the latter in addition to storage use. In the zone scope a zone
    pays for the losses of its own lines (half of a tie line's), its generators and storages; but for shunts and the
    storages' net power, the zones' mean is the team's value.
    """

    alpha: float = 5.0
    at_worst: float = -10.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups, grid, flow = groups_of(system, self.scope), system.grid, after.flow
        values = _redispatch_margin(
            (flow.gen_p, flow.load_p, flow.p_or, flow.p_ex, after.dispatch.actual, after.dispatch.storage_power),
            (grid.gen_cost_per_mw, grid.gen_pmax),
            (groups.line, groups.gen, groups.storage),
            groups.n,
            self.alpha,
            system.delta_time / 60.0,
        )
        values = np.where(ruling.accepted, spread(values, system), 0.0)
        failed = after.lost[:, None] | (~after.running[:, None] & ~ruling.accepted)
        return np.where(failed, self.at_worst, values)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        """The highest value is Grid2Op's estimate: 1.5 % losses at the least cost, loads of a tenth of all pmax."""
        cost, pmax, hours = system.grid.gen_cost_per_mw, float(system.grid.gen_pmax.sum()), system.delta_time / 60.0
        least_load = 0.1 * pmax
        highest = (0.05 + self.alpha) * pmax * max(float(cost.max()), 0.0) * hours
        cheapest = float(cost[cost > 0].min()) if (cost > 0).any() else 0.0
        return self.at_worst, (highest - 0.015 * least_load * hours * cheapest) / least_load


@dataclass(frozen=True)
class L2RPNSandBoxScore(Scoped):
    """Cost of a step, to be minimised: losses, redispatch, storage use, and the change of what is curtailed.

    Each MWh is priced at the dearest generator that runs, storage use at ``storage_price`` per MWh if one is given. The
    team's losses are production minus load (shunts and the storages' net power included); a zone's are those of its
    lines, half of a tie line's. 1 at a blackout, which is thereby cheap: learn from RedispReward instead.
    """

    BOUNDS: ClassVar[tuple[float, float]] = (1.0, 1000.0)
    alpha_redisp: float = 1.0
    alpha_loss: float = 1.0
    alpha_storage: float = 1.0
    alpha_curtailment: float = 1.0
    storage_price: float | None = None

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups, grid = groups_of(system, self.scope), system.grid
        price = np.where(after.flow.gen_p > 0, grid.gen_cost_per_mw, 0.0).max(axis=1)[:, None]
        storage_price = price if self.storage_price is None else self.storage_price
        curtailed = np.where(grid.gen_renewable, _curtailed(after) - _curtailed(before), 0.0)
        priced_alike = (
            self.alpha_loss * _losses(groups, after)
            + self.alpha_redisp * groups.total(np.abs(after.dispatch.actual), groups.gen)
            + self.alpha_curtailment * groups.total(curtailed, groups.gen)
        )
        storage = self.alpha_storage * groups.total(np.abs(after.dispatch.storage_power), groups.storage)
        cost = (price * priced_alike + storage_price * storage) * system.delta_time / 60.0
        return np.where(after.lost[:, None], 1.0, spread(cost, system))


@dataclass(frozen=True)
class L2RPNWCCI2022ScoreFun(L2RPNSandBoxScore):
    """The cost of L2RPNSandBoxScore with storage use at 10 per MWh."""

    storage_price: float | None = 10.0


def _curtailed(state: State) -> np.ndarray:
    """(n_env, n_gen) MW taken off each renewable generator; no meaning for others."""
    return state.dispatch.p_before_curtail - state.dispatch.scheduled_p


def _losses(groups: Groups, state: State) -> np.ndarray:
    """(n_env, n_group) MW."""
    flow = state.flow
    if groups.n == 1:
        return (flow.gen_p.sum(axis=1) - flow.load_p.sum(axis=1))[:, None]
    half = 0.5 * (flow.p_or + flow.p_ex)
    return groups.total(half, groups.line[0]) + groups.total(half, groups.line[1])


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _saved(gen_p, cost, pmax, group, n):  # pragma: no cover
    """1 - cost of production / cost of all generators of the group at pmax, inside [0, 1]."""
    saved = np.ones((gen_p.shape[0], n))
    for e in range(gen_p.shape[0]):
        spent, dearest = np.zeros(n), np.zeros(n)
        for i in range(gen_p.shape[1]):
            spent[group[i]] += gen_p[e, i] * cost[i]
            dearest[group[i]] += pmax[i] * cost[i]
        for g in range(n):
            if dearest[g] > 0:
                saved[e, g] = 1.0 - min(max(spent[g] / dearest[g], 0.0), 1.0)
    return saved


@kernel
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
