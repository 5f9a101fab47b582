"""The grid after actions and other injections: one power flow, without rules, protections or time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind
from marlgrid.simulation.frame import power_flow_input
from marlgrid.simulation.state import Dispatch, Outcome, State
from marlgrid.simulation.step import switched
from marlgrid.simulation.topology import islanded
from marlgrid.task.foresight import asked
from marlgrid.task.noise import STREAM_FORESEEN

if TYPE_CHECKING:
    from marlgrid.task.observation import Observation

TOLERANCE_MW = 1e-6


class Simulator:
    """A grid that is not played on: each ``predict`` gives another one, and the first stays as it is.

    Grid2Op's ``Simulator``. Different on purpose: storages lose what their efficiencies and self-discharge say, power
    that a storage no longer takes or gives is made up for, and dispatch that is in force already is not added again.
    """

    def __init__(self, observation: Observation) -> None:
        self.current_obs = observation

    @property
    def converged(self) -> bool:
        """False where there is no power flow, or no dispatch; then ``current_obs.outcome`` says why."""
        return not self.current_obs.over

    def predict(
        self,
        action: Mapping[str, Any] | Commands | None = None,
        new_gen_p: np.ndarray | None = None,
        new_gen_v: np.ndarray | None = None,
        new_load_p: np.ndarray | None = None,
        new_load_q: np.ndarray | None = None,
    ) -> Simulator:
        """The grid after ``action`` (as for ``Observation.simulate``, whatever the rules say) with other injections.

        ``new_gen_p`` (n_gen,) MW is the whole production before the action, ``new_load_p`` (n_load,) MW, ``new_load_q``
        MVAr, ``new_gen_v`` kV; None leaves them. Redispatch ignores ramps; the other controllable generators balance
        it, curtailment and storages inside pmin and pmax. A storage works for one step's length. Raises ValueError for
        arrays of another shape or with numbers that are not finite, and on a grid that is lost.
        """
        now = self.current_obs
        if now.over:
            raise ValueError(f"there is no grid to predict from: {now.outcome.name}")
        system, state, joint = now.system, now.state, asked(now.task, action)
        changed = {"gen_v": new_gen_v, "load_p": new_load_p, "load_q": new_load_q}
        given = {n: _checked(f"new_{n}", v, getattr(state.injections, n)) for n, v in changed.items() if v is not None}
        gen_p = None if new_gen_p is None else _checked("new_gen_p", new_gen_p, state.injections.gen_p)[0]
        injections = state.injections._replace(**given)
        after = switched(system, state, joint)._replace(injections=injections)
        dispatch = _dispatched(system, state, joint.commands, gen_p)
        if dispatch is None:
            after = after._replace(outcome=np.full_like(state.outcome, Outcome.DISPATCH_INFEASIBLE))
        else:
            after = _solved(system, now.task.foreseeing, after._replace(dispatch=dispatch))
        return Simulator(type(now)(now.task, after, noise=now.noise, stream=STREAM_FORESEEN))


def _checked(name: str, given: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(1, n) float64."""
    values = np.asarray(given, dtype=np.float64)
    if values.shape != like.shape[1:] or not np.isfinite(values).all():
        raise ValueError(f"{name} has shape {values.shape}: give {like.shape[1:]} finite numbers")
    return values[None]


def _solved(system: System, solver: Any, state: State) -> State:
    """The state with its power flow; nothing trips."""
    flow = solver.solve(power_flow_input(state, state.topology.topo_vect), state.flow.voltage, state.running)
    lost = state.running & ~flow.converged
    if lost.any():
        reason = Outcome.ISLANDED if islanded(system, state.topology)[0] else Outcome.DIVERGED
        state = state._replace(outcome=np.full_like(state.outcome, reason))
    untripped = np.full_like(state.disc_lines, -1)
    return state._replace(flow=flow, rho=flow.a_or / system.thermal_limit, disc_lines=untripped)


# ---------------------------------------------------------------------------------------------------- dispatch
class _Storages(NamedTuple):
    power: np.ndarray
    """(n_storage,) MW."""
    charge: np.ndarray
    """(n_storage,) MWh."""


def _dispatched(system: System, state: State, commands: Commands, gen_p: np.ndarray | None) -> Dispatch | None:
    """The dispatch after the commands, a batch of one; None where there is none."""
    grid, before = system.grid, state.dispatch
    redispatch, limit = np.zeros(grid.n_gen), before.curtailment_limit[0].copy()
    for kind, i, value in zip(*commands, strict=True):
        if kind == Kind.REDISPATCH:
            redispatch[i] += value
        elif kind == Kind.CURTAIL:
            limit[i] = value
    present = state.flow.gen_p[0]
    free = np.where(grid.gen_renewable, before.p_before_curtail[0], present) if gen_p is None else gen_p
    produced = np.where(grid.gen_renewable, np.minimum(free, limit * grid.gen_pmax), free)
    taken_off = float((free - produced).sum())
    missing = taken_off if gen_p is not None else taken_off - float((free - present)[grid.gen_renewable].sum())
    target = _asked_of_storages(commands, grid.n_storage)
    storages = _charged(system, target, before.storage_charge[0])
    missing += float(storages.power.sum() - before.storage_power[0].sum())
    moved = _balanced(system, produced, redispatch, missing)
    if moved is None:
        return None
    actual, first = before.actual[0] + moved, (redispatch != 0) & ~before.modified[0]
    fields = {
        "target": np.where(first, before.actual[0], before.target[0]) + redispatch,
        "modified": before.modified[0] | (redispatch != 0),
        "actual": actual,
        "scheduled_p": produced + moved - actual,
        "setpoint": produced + moved,
        "p_before_curtail": np.where(grid.gen_renewable, free, 0.0),
        "curtailment_limit": limit,
        "curtailment_limit_effective": limit,
        "curtailed": taken_off,
        "storage_charge": storages.charge,
        "storage_power_target": target,
        "storage_power": storages.power,
    }
    return before._replace(**{name: np.asarray(value)[None] for name, value in fields.items()})


def _asked_of_storages(commands: Commands, n_storage: int) -> np.ndarray:
    """(n_storage,) MW."""
    asked_for = np.zeros(n_storage)
    on = commands.kind == Kind.SET_STORAGE
    asked_for[commands.index[on]] = commands.value[on]
    return asked_for


def _charged(system: System, target: np.ndarray, charge: np.ndarray) -> _Storages:
    """What the storages take (positive) or give in one step, as far as their charge allows."""
    unit, hours = system.tables.storage, float(system.tables.rules[0]["hours_per_step"])
    stored = np.where(target > 0, target * unit["charging"], target / unit["discharging"]) * hours
    stored = np.clip(stored, np.minimum(unit["emin"] - charge, 0.0), np.maximum(unit["emax"] - charge, 0.0))
    power = np.where(stored > 0, stored / unit["charging"], stored * unit["discharging"]) / hours
    return _Storages(power, np.maximum(charge + stored - unit["loss"] * hours, 0.0))


def _balanced(system: System, produced: np.ndarray, redispatch: np.ndarray, missing: float) -> np.ndarray | None:
    """(n_gen,) MW that each generator moves so that all together give ``missing`` MW more; None where they cannot.

    Minimises Grid2Op's sum of w (100 / s (x - redispatch)^2 for those asked + 0.01 x^2), w ~ 1 / (ramp_up + ramp_down),
    within pmin and pmax. It is separable: x follows from the one multiplier at which the sum is right.
    """
    grid, moved = system.grid, np.zeros(len(produced))
    able = grid.gen_redispatchable
    low, high = (grid.gen_pmin - produced)[able], (grid.gen_pmax - produced)[able]
    wanted = redispatch[able]
    if abs(wanted.sum() - missing) < TOLERANCE_MW and ((low <= wanted) & (wanted <= high) | (wanted == 0)).all():
        moved[able] = wanted
        return moved
    if not low.sum() - TOLERANCE_MW <= missing <= high.sum() + TOLERANCE_MW:
        return None
    weight = 1.0 / (grid.gen_max_ramp_up + grid.gen_max_ramp_down + TOLERANCE_MW)[able]
    weight = weight / weight.sum()
    scale = max(0.5 * np.abs(wanted).sum() ** 2, 1.0)
    pull = np.where(wanted != 0, 100.0 / scale, 0.0) * weight
    stiffness = pull + 0.01 * weight

    def at(multiplier: float) -> np.ndarray:
        return np.clip((pull * wanted + multiplier) / stiffness, low, high)

    ends = (stiffness * low - pull * wanted).min() - 1.0, (stiffness * high - pull * wanted).max() + 1.0
    total = float(np.clip(missing, low.sum(), high.sum()))
    if low.sum() < total < high.sum():
        from scipy.optimize import brentq  # 171 modules, needed here alone

        multiplier = brentq(lambda m: at(m).sum() - total, *ends, xtol=1e-14)
    else:
        multiplier = ends[0] if total <= low.sum() else ends[1]
    moved[able] = at(multiplier)
    return moved
