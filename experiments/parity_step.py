"""One step here, with Grid2Op's attacks put in, and its dispatch where the two differ on purpose."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import Injections
from marlgrid.powerflow.base import Flow, PowerFlow, PowerFlowInput
from marlgrid.simulation.action import Action, Kind, no_attack
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State
from marlgrid.simulation.step import advance

TOLERANCE_MW = 0.05
"""Dispatch: what the reference's optimiser leaves open."""
RESIDUE_MW = 1e-6
"""Dispatch below which a generator may or may not run there."""
CONSTRAINT_MW = 0.011
"""Imbalance and excess of a bound that the reference allows itself, in single precision."""
OBJECTIVE_MW2 = 1e-4
"""By how much our objective may exceed the reference's: its single precision."""
OPTIMUM, SHARE, AREA_ATTACK = "dispatch-optimum", "dispatch-share", "attack-renewed-each-step"
"""Exclusions: its optimiser stops early; it leaves open who offsets the targets; attacks of one step, drawn anew."""

REFUSED_TARGET = "refused-target-pursued"
"""Exclusion: there a refused redispatch leaves a mark on the generator."""


class Step(NamedTuple):
    """What one step here led to."""

    state: State
    ruling: Ruling
    problems: list[str]
    excluded: list[str]
    gap_mw: float
    """Largest difference of the dispatch."""


class Dispatched:
    """A solver that is told other set points of the generators than those in the state."""

    def __init__(self, solver: PowerFlow, setpoint: np.ndarray) -> None:
        self.solver, self.setpoint = solver, setpoint

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        return self.solver.solve(inputs._replace(gen_p=self.setpoint), start, rows)


class Stepper:
    """Steps our state next to Grid2Op's: a zone that owns everything."""

    def __init__(self, system: System, solver: PowerFlow) -> None:
        self.system, self.solver = system, solver

    def advance(
        self, state: State, injections: Injections, action: Action, attacked: np.ndarray, theirs: Any | None
    ) -> Step:
        """One step under ``attacked`` (n_line,), remaining steps of each attack there with this one.

        ``theirs`` is the observation to agree with, None after a game over.
        """
        system, nobody = self.system, no_attack(1, self.system.grid.n_line)
        problems, excluded = self._attacks(state, attacked)
        before = state._replace(attack=state.attack._replace(remaining=attacked[None].astype(np.int32)))
        after, ruling = advance(system, self.solver, before, injections, action, nobody)
        if Reason(int(ruling.reason[0, 0])) in (Reason.GEN_SWITCHED_OFF, Reason.REDISPATCH_TARGET_OUT_OF_RANGE):
            excluded.append(REFUSED_TARGET)
            before = _with_refused_targets(before, action)
            after, ruling = advance(system, self.solver, before, injections, action, nobody)
        gap = 0.0
        if theirs is not None and after.outcome[0] != Outcome.DISPATCH_INFEASIBLE:
            their_dispatch = np.asarray(theirs.actual_dispatch, dtype=float)
            gap = float(np.abs(after.dispatch.actual[0] - their_dispatch).max())
            if gap > TOLERANCE_MW:
                worse = judge_dispatch(system, state, after, their_dispatch)
                problems = problems + worse
                excluded += [] if worse else [kind_of_gap(system, state, after, their_dispatch)]
            setpoint = after.dispatch.scheduled_p + their_dispatch
            # some of what its optimiser leaves over is not sent: the generator stands still there
            kept_back = (np.asarray(theirs.gen_p) == 0) & (np.abs(setpoint) < RESIDUE_MW) & (setpoint != 0)
            setpoint[kept_back] = 0.0
            if kept_back.any() or (after.dispatch.actual[0].astype(np.float32) != theirs.actual_dispatch).any():
                # made again with Grid2Op's: a generator it moves by 1e-9 MW runs, and costs
                after, ruling = advance(system, Dispatched(self.solver, setpoint), before, injections, action, nobody)
                dispatch = after.dispatch._replace(actual=their_dispatch[None], setpoint=setpoint)
                after = after._replace(dispatch=dispatch)
        return Step(after, ruling, problems, excluded, gap)

    def _attacks(self, state: State, attacked: np.ndarray) -> tuple[list[str], list[str]]:
        """Whether attacks go on as here. Grid2Op's opponents draw them; some start one of a single step each step."""
        going_on = state.attack.remaining[0]
        problems = []
        if (going_on[going_on > 0] != attacked[going_on > 0]).any():
            problems.append(f"attacks going on: there {_nonzero(attacked)}, here {_nonzero(going_on)}")
        off = state.topology.topo_vect[0, self.system.grid.line_or_pos_topo_vect] < 0
        renewed = ((attacked > 0) & (going_on == 0) & off).any()
        return problems, [AREA_ATTACK] * bool(renewed)


def _with_refused_targets(state: State, action: Action) -> State:
    """Grid2Op takes a refused redispatch back off the target, but goes on pursuing that generator's target."""
    kind, index, value = action.commands
    gens = index[(kind == Kind.REDISPATCH) & (value != 0) & ~np.isnan(value)]
    target, modified = state.dispatch.target.copy(), state.dispatch.modified.copy()
    new = gens[~modified[0, gens]]
    target[0, new], modified[0, gens] = state.dispatch.actual[0, new], True
    return state._replace(dispatch=state.dispatch._replace(target=target, modified=modified))


def _leaders(system: System, before: State, after: State, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_gen,) bool twice: the generators that take part in the dispatch, and those that its objective names."""
    grid, actual = system.grid, before.dispatch.actual[0]
    moving = (after.dispatch.scheduled_p[0] > 0) | (np.abs(actual) >= 1e-7) | (after.dispatch.target[0] != actual)
    part = grid.gen_redispatchable & (moving | (np.abs(theirs - actual) > TOLERANCE_MW))
    leads = part & after.dispatch.modified[0]
    return part, leads if leads.any() else part


def kind_of_gap(system: System, before: State, after: State, theirs: np.ndarray) -> str:
    """Whether the dispatches differ where the objective speaks or only where it is silent."""
    _, leads = _leaders(system, before, after, theirs)
    return OPTIMUM if np.abs(after.dispatch.actual[0] - theirs)[leads].max() > TOLERANCE_MW else SHARE


def judge_dispatch(system: System, before: State, after: State, theirs: np.ndarray) -> list[str]:
    """What speaks against our dispatch: a violated bound or balance, or a worse objective than ``theirs`` (n_gen,).

    The objective is Grid2Op's: squared distance to the targets of the generators redispatched so far (of all that take
    part if there are none), weighted by 1 / (ramp_up + ramp_down).
    """
    grid, was, now = system.grid, before.dispatch, after.dispatch
    actual, scheduled = was.actual[0], now.scheduled_p[0]
    rise, gap = scheduled - was.scheduled_p[0], now.target[0] - actual
    x, y = now.actual[0] - actual, theirs - actual
    needed = now.storage_power.sum() - was.storage_power.sum() + now.curtailed[0] - was.curtailed[0]
    lo = np.maximum(grid.gen_pmin - scheduled - actual, -grid.gen_max_ramp_down - rise)
    hi = np.minimum(grid.gen_pmax - scheduled - actual, grid.gen_max_ramp_up - rise)
    part, leads = _leaders(system, before, after, theirs)
    weight = 1 / (grid.gen_max_ramp_up + grid.gen_max_ramp_down + 1e-4)
    weight = weight / weight[part].sum()

    def objective(move: np.ndarray) -> float:
        return float((weight * (move - gap) ** 2)[leads].sum())

    problems = []
    if abs(x.sum() - needed) > CONSTRAINT_MW:
        problems.append(f"dispatch out of balance here: {x.sum():g} MW given, {needed:g} MW needed")
    outside = part & ((x < lo - CONSTRAINT_MW) | (x > hi + CONSTRAINT_MW))
    if outside.any():
        problems.append(f"dispatch out of bounds here: generators {np.flatnonzero(outside).tolist()}")
    if objective(x) > objective(y) + OBJECTIVE_MW2:
        problems.append(
            f"worse dispatch here: objective there {objective(y):g}, here {objective(x):g}; "
            f"there {np.round(y, 3).tolist()}, here {np.round(x, 3).tolist()}, targets {np.round(gap, 3).tolist()}"
        )
    return problems


def _nonzero(remaining: np.ndarray) -> dict[int, int]:
    return {int(line): int(remaining[line]) for line in np.flatnonzero(remaining)}
