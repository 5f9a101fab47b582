"""Rewards for how the lines are loaded, which of them are out, and what the loss of one would do."""

# ruff: noqa: ARG002 (a reward need not use all it is given)
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.powerflow import power_flow
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action
from marlgrid.simulation.frame import power_flow_input
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.scope import Bound, Range, Scoped, groups_of, spread, zero_if_failed


@dataclass(frozen=True)
class LinesCapacityReward(Scoped):
    """1 minus the mean rho of the connected lines, inside [0, 1]; 0 at a blackout and for a refused action."""

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = groups_of(system, self.scope)
        values = _spare_capacity(after.rho, after.topology.topo_vect, groups.line_pos, groups.line, groups.n)
        return zero_if_failed(values, ruling, after)


@dataclass(frozen=True)
class L2RPNReward(Scoped):
    """Sum over the lines of ``1 - (I / limit)^2``, none below 0; a line that is out counts 1.

    0 at the last step of an episode, won or lost. Refused actions are not punished. The limit is increased by 0.1 A.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = groups_of(system, self.scope)
        values = _squared_loading_margin(after.flow.a_or, after.thermal_limit, groups.line, groups.n)
        return np.where(after.running[:, None], spread(values, system), 0.0)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return 0.0, float(groups_of(system, self.scope).has_line.sum(axis=1).max())


@dataclass(frozen=True)
class SquaredMarginReward(Scoped):
    """Sum over the lines of ``((limit - I) / limit)^2``, 0 above the limit; a line that is out counts 1.

    The form that Grid2Op's documentation gives for its L2RPNReward, which computes another. As there, 0 at the last
    step of an episode, won or lost, and refused actions are not punished.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        values = groups_of(system, self.scope).total_of_lines(np.maximum(1.0 - after.rho, 0.0) ** 2)
        return np.where(after.running[:, None], spread(values, system), 0.0)

    def range(self, system: System, n_step: Bound = math.inf) -> Range:
        return 0.0, float(groups_of(system, self.scope).has_line.sum(axis=1).max())


@dataclass(frozen=True)
class CloseToOverflowReward(Scoped):
    """1 without lines close to their limit, falling to 0 at ``max_lines`` of them; 0 at a blackout and when refused.

    Close is a rho of 0.975, and of 0.95 already for lines with a limit below 400 A.
    """

    max_lines: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_lines <= 0:
            raise ValueError(f"max_lines is {self.max_lines}, give a number above 0")

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        close = after.rho >= np.where(after.thermal_limit < 400.0, 0.95, 0.975)
        count = groups_of(system, self.scope).total_of_lines(close)
        return zero_if_failed(1.0 - np.minimum(count / self.max_lines, 1.0), ruling, after)


@dataclass(frozen=True)
class LinesReconnectedReward(Scoped):
    """1, less a half for each line that is out although its cooldown is over, but not below 0.

    0 at a blackout and for a refused action.
    """

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        groups = groups_of(system, self.scope)
        out = after.topology.topo_vect[:, groups.line_pos] < 0
        count = groups.total_of_lines(out & (after.counters.time_before_cooldown_line == 0))
        return zero_if_failed(1.0 - np.minimum(count / 2.0, 1.0), ruling, after)


@dataclass(frozen=True)
class N1Reward(Scoped):
    """Highest rho if the line (number or name) were lost too; -1 if the power flow then has no solution.

    0 at the last step of an episode. The lower the better: give it a negative weight to learn from it. ``solver`` is
    one of the names that ``power_flow`` knows, or the solver itself; each step costs one more power flow.
    """

    BOUNDS: ClassVar[tuple[float, float]] = (-1.0, math.inf)
    line: int | str = 0
    solver: str | PowerFlow = "newton"

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        grid, line = system.grid, self._number(system.grid)
        topo_vect = after.topology.topo_vect.copy()
        topo_vect[:, [grid.line_or_pos_topo_vect[line], grid.line_ex_pos_topo_vect[line]]] = -1
        solver = _made(self.solver, grid) if isinstance(self.solver, str) else self.solver
        flow = solver.solve(power_flow_input(after, topo_vect), after.flow.voltage, after.running)
        rho = flow.a_or / np.maximum(after.thermal_limit, 1.0)
        groups = groups_of(system, self.scope)
        worst = np.where(groups.has_line, rho[:, None, :], 0.0).max(axis=2)
        values = np.where(flow.converged[:, None], worst, -1.0)
        return np.where(after.running[:, None], spread(values, system), 0.0)

    def _number(self, grid: Grid) -> int:
        if isinstance(self.line, str) and self.line in grid.name_line:
            return grid.name_line.index(self.line)
        if isinstance(self.line, str) or not 0 <= self.line < grid.n_line:
            raise ValueError(f"there is no line {self.line!r}; give a number below {grid.n_line} or a name")
        return int(self.line)


@lru_cache(maxsize=32)
def _made(name: str, grid: Grid) -> PowerFlow:
    return power_flow(name, grid)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
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


@kernel
def _squared_loading_margin(a_or, limit, group, n):  # pragma: no cover
    margin = np.zeros((a_or.shape[0], n))
    for e in range(a_or.shape[0]):
        for l in range(a_or.shape[1]):
            loading = min(a_or[e, l] / (limit[e, l] + 0.1), 1.0)
            margin[e, group[0, l]] += 1.0 - loading * loading
            if group[1, l] != group[0, l]:
                margin[e, group[1, l]] += 1.0 - loading * loading
    return margin
