"""Redispatch, curtailment and storage by a linear programme on the grid's sensitivities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agents.least_deviation import Controls, least_deviation
from agents.planner import Planning
from agents.reconnect import Reconnect
from agents.sensitivity import bus_of, ptdf
from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind, add, do_nothing, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import Dispatch, State, take
from marlgrid.task.task import Task

SMALL_MW = 0.05
"""Changes below it are not asked for."""


class Units(NamedTuple):
    """What may be moved: numbers of generators and storages."""

    thermal: np.ndarray
    renewable: np.ndarray
    storage: np.ndarray

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Values of all units, by their kind."""
        return np.split(values, np.cumsum([len(self.thermal), len(self.renewable)]))


class LinearProgram(Planning):
    """Keeps flows below ``margin`` of the limits at the least deviation from the schedule.

    Each step it forecasts the grid one step ahead and solves ``least_deviation`` for the generators (within pmin, pmax
    and ramps; one MW costs 1 to 2, by the price of the generator), curtailment (``curtail_cost`` per MW) and storages
    (``storage_cost``, within charge and power), with PTDF of the actual topology. So what was moved returns as soon as
    flows allow. Lines are put back as ``Reconnect`` does. An answer is played if the forecast with it is no worse than
    without it, or below ``margin``.
    """

    def __init__(
        self, margin: float = 0.9, curtail_cost: float = 3.0, storage_cost: float = 0.5, safe: float = 0.95
    ) -> None:
        if min(margin, curtail_cost, storage_cost) <= 0:
            raise ValueError(f"margin {margin}, curtail_cost {curtail_cost}, storage_cost {storage_cost}: give above 0")
        self.margin, self.curtail_cost, self.storage_cost = margin, curtail_cost, storage_cost
        self.reconnect = Reconnect(safe)

    def plan(self, task: Task, state: State, zone: int | None = None) -> dict[str, list[Commands]]:
        system, answers = task.system, self.reconnect.plan(task, state, zone)
        rows = np.flatnonzero(state.running)
        before = take(state, rows)
        idle = do_nothing(len(rows), system.n_zone)
        after, _ = simulate(system, task.foreseeing, task.series, before, idle)
        limit = self._limits(after)
        strained = (np.abs(after.flow.p_or) > limit).any(axis=1) | _deviates(system, after.dispatch, zone)
        asked = {}
        for k in np.flatnonzero(strained & ~after.lost).tolist():
            commands = self._solve(system, before, after, k, limit[k], zone)
            if any(len(of_zone.kind) for of_zone in commands):
                known = (answers[agent][rows[k]] for agent in system.zones.agents)
                asked[k] = [add(old, new) for old, new in zip(known, commands, strict=True)]
        for k in self._borne_out(task, before, after, asked):
            for agent, commands in zip(system.zones.agents, asked[k], strict=True):
                answers[agent][rows[k]] = commands
        return answers

    def _limits(self, after: State) -> np.ndarray:
        """(n_env, n_line) MW that the origin of each line may carry, by its voltage and reactive flow."""
        mva = self.margin * np.sqrt(3.0) * after.flow.v_or * after.thermal_limit / 1000.0
        return np.sqrt(np.maximum(mva**2 - after.flow.q_or**2, 0.0))

    def _solve(
        self, system: System, before: State, after: State, k: int, limit: np.ndarray, zone: int | None
    ) -> list[Commands]:
        """The commands of each zone in episode ``k``."""
        grid, zones, topo = system.grid, system.zones, after.topology.topo_vect[k]
        was, dispatch = (Dispatch(*(array[k] for array in state.dispatch)) for state in (before, after))
        gen_bus = bus_of(grid, topo, grid.gen_to_subid, grid.gen_pos_topo_vect)
        storage_bus = bus_of(grid, topo, grid.storage_to_subid, grid.storage_pos_topo_vect)
        my_gen, my_storage = (zones.gen == zone) | (zone is None), (zones.storage == zone) | (zone is None)
        works = grid.gen_redispatchable & (dispatch.setpoint > 0) & (gen_bus >= 0)
        units = Units(
            thermal=np.flatnonzero(works & my_gen),
            renewable=np.flatnonzero(grid.gen_renewable & my_gen & (dispatch.p_before_curtail > 0) & (gen_bus >= 0)),
            storage=np.flatnonzero(my_storage & (storage_bus >= 0)),
        )
        factors = ptdf(grid, topo)
        bus = np.concatenate([gen_bus[units.thermal], gen_bus[units.renewable], storage_bus[units.storage]])
        part = _part(dispatch, zone)
        controls = self._controls(system, was, dispatch, units, part)._replace(effect=factors[:, bus])
        rest = _rest(system, factors, gen_bus, works & (zones.gen != zone), zone)
        found = least_deviation(after.flow.p_or[k], limit, controls, rest)
        return _commands(system, was, dispatch, units, part, found)

    def _controls(self, system: System, was: Dispatch, dispatch: Dispatch, units: Units, part: np.ndarray) -> Controls:
        """What the units can do and cost, without their effect."""
        grid, (thermal, renewable, storage) = system.grid, units
        away = (dispatch.actual - part)[thermal]
        low = np.maximum(grid.gen_pmin, was.setpoint - grid.gen_max_ramp_down) - dispatch.setpoint
        high = np.minimum(grid.gen_pmax, was.setpoint + grid.gen_max_ramp_up) - dispatch.setpoint
        take_in, give = _storage_room(system, was.storage_charge)
        available, kept = dispatch.p_before_curtail[renewable], dispatch.scheduled_p[renewable]
        price = grid.gen_cost_per_mw[thermal] / max(float(grid.gen_cost_per_mw.max()), 1e-9)
        return Controls(
            effect=np.zeros((grid.n_line, 0)),
            low=np.concatenate([away + np.minimum(low, 0.0)[thermal], -available, -take_in[storage]]),
            high=np.concatenate([away + np.maximum(high, 0.0)[thermal], 0.0 * available, give[storage]]),
            now=np.concatenate([away, kept - available, np.zeros(len(storage))]),
            cost=np.concatenate(
                [1.0 + price, np.full(len(renewable), self.curtail_cost), np.full(len(storage), self.storage_cost)]
            ),
        )

    def _borne_out(self, task: Task, before: State, after: State, asked: dict[int, list[Commands]]) -> list[int]:
        """Episodes in which the forecast with what is asked is no worse than without it, or below ``margin``."""
        if not asked:
            return []
        rows = np.array(list(asked))
        copies, action = take(before, rows), joint(list(asked.values()))
        then, ruling = simulate(task.system, task.foreseeing, task.series, copies, action)
        loading = np.where(then.lost | ~ruling.accepted.all(axis=1), np.inf, then.rho.max(axis=1))
        return rows[loading <= np.maximum(after.rho[rows].max(axis=1), self.margin)].tolist()


def _part(dispatch: Dispatch, zone: int | None) -> np.ndarray:
    """(..., n_gen) MW by which generators make up for what other zones asked for: not one zone's to take back."""
    return np.where(dispatch.modified | (zone is None), 0.0, dispatch.actual)


def _deviates(system: System, dispatch: Dispatch, zone: int | None) -> np.ndarray:
    """(n_env,) bool: there is redispatch or curtailment to take back."""
    mine = (system.zones.gen == zone) | (zone is None)
    away = (np.abs(dispatch.actual - _part(dispatch, zone)) > SMALL_MW) & system.grid.gen_redispatchable
    return (mine & (away | (dispatch.curtailment_limit < 1.0))).any(axis=1)


def _storage_room(system: System, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_storage,) MW that storages can take and give for one step."""
    grid, hours = system.grid, system.delta_time / 60.0
    room = np.maximum(grid.storage_emax - charge, 0.0) / hours / np.maximum(grid.storage_charging_efficiency, 1e-9)
    held = np.maximum(charge - grid.storage_emin, 0.0) / hours * grid.storage_discharging_efficiency
    return np.minimum(grid.storage_max_p_absorb, room), np.minimum(grid.storage_max_p_prod, held)


def _rest(system: System, factors: np.ndarray, bus: np.ndarray, others: np.ndarray, zone: int | None) -> np.ndarray:
    """(n_line,) MW per MW that the generators of others balance, in proportion to their ramps; nan without any."""
    grid = system.grid
    share = np.where(others, grid.gen_max_ramp_up + grid.gen_max_ramp_down, 0.0)
    if zone is None or share.sum() <= 0:
        return np.full(grid.n_line, np.nan)
    # a bus of -1 is the last one: generators without a bus have no share
    return factors[:, bus] @ (share / share.sum())


def _commands(
    system: System, was: Dispatch, dispatch: Dispatch, units: Units, part: np.ndarray, found: np.ndarray
) -> list[Commands]:
    """What each zone has to ask for so that its units deviate from the schedule as ``found``."""
    grid, zones, (thermal, renewable, storage) = system.grid, system.zones, units
    moved, curtailed, given = units.split(found)
    moved = moved + part[thermal]
    target = np.where(was.modified, was.target, was.actual)[thermal]
    reach = (grid.gen_pmax - grid.gen_pmin)[thermal]
    step = np.clip(moved, -reach, reach) - target
    step = np.clip(step, -grid.gen_max_ramp_down[thermal], grid.gen_max_ramp_up[thermal])
    pmax = grid.gen_pmax[renewable]
    cap = np.clip((dispatch.p_before_curtail[renewable] + curtailed) / pmax, 0.0, 1.0)
    cap = np.where(-curtailed > SMALL_MW, cap, 1.0)
    kind = np.repeat([Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE], [len(part) for part in units]).astype(np.int8)
    value = np.concatenate([step, cap, -given])
    use = np.concatenate(
        [
            (np.abs(step) > SMALL_MW) & (np.abs(moved - dispatch.actual[thermal]) > SMALL_MW),
            np.abs(cap - was.curtailment_limit[renewable]) * pmax > SMALL_MW,
            np.abs(given) > SMALL_MW,
        ]
    )
    owner = np.concatenate([zones.gen[thermal], zones.gen[renewable], zones.storage[storage]])
    index = np.concatenate(units).astype(np.int32)
    return [Commands(kind[own], index[own], value[own]) for own in (use & (owner == z) for z in range(system.n_zone))]
