"""Redispatch, curtailment and storage by a linear programme on the grid's sensitivities."""

from __future__ import annotations

import numpy as np

from agents.least_deviation import Controls, least_deviation
from agents.planner import Planning
from agents.reconnect import Reconnect
from agents.sensitivity import bus_of, ptdf
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind, add, do_nothing, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import Dispatch, State, take
from marlgrid.task.task import Task

SMALL_MW = 0.05
"""Changes below it are not asked for."""


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
        system = task.system
        answers = self.reconnect.plan(task, state, zone)
        rows = np.flatnonzero(state.running)
        idle = do_nothing(len(rows), system.n_zone)
        after, _ = simulate(system, task.foreseeing, task.series, take(state, rows), idle)
        limit = self._limits(after)
        wanted, changed = {}, []
        for k, row in enumerate(rows):
            busy = (np.abs(after.flow.p_or[k]) > limit[k]).any() or _deviates(system, after, k, zone)
            if after.lost[k] or not busy:
                continue
            asked = self._solve(system, state, int(row), after, k, limit[k], zone)
            if any(len(commands.kind) for commands in asked):
                wanted[row] = asked
                changed.append(k)
        for row, asked in self._safe(task, state, rows, after, changed, wanted, answers).items():
            for agent, commands in zip(system.zones.agents, asked, strict=True):
                answers[agent][row] = commands
        return answers

    def _limits(self, after: State) -> np.ndarray:
        """(n_env, n_line) MW that the origin of each line may carry, by its voltage and reactive flow."""
        mva = self.margin * np.sqrt(3.0) * after.flow.v_or * after.thermal_limit / 1000.0
        return np.sqrt(np.maximum(mva**2 - after.flow.q_or**2, 0.0))

    def _solve(
        self, system: System, state: State, row: int, after: State, k: int, limit: np.ndarray, zone: int | None
    ) -> list[Commands]:
        """The commands of each zone."""
        grid, zones = system.grid, system.zones
        factors = np.hstack([ptdf(grid, after.topology.topo_vect[k]), np.zeros((grid.n_line, 1))])
        topo = after.topology.topo_vect[k]
        at = {
            kind: bus_of(grid, topo, getattr(grid, f"{kind}_to_subid"), getattr(grid, f"{kind}_pos_topo_vect"))
            for kind in ("gen", "storage")
        }
        mine = {kind: (getattr(zones, kind) == zone) | (zone is None) for kind in ("gen", "storage")}
        dispatch, before = after.dispatch, state.dispatch
        works = grid.gen_redispatchable & (dispatch.setpoint[k] > 0) & (at["gen"] >= 0)
        thermal = np.flatnonzero(works & mine["gen"])
        renewable = np.flatnonzero(grid.gen_renewable & mine["gen"] & (dispatch.p_before_curtail[k] > 0))
        unit = np.flatnonzero(mine["storage"] & (at["storage"] >= 0))
        low, high = _room(grid, before.setpoint[row], dispatch.setpoint[k])
        part = _part(dispatch, k, zone)
        away = dispatch.actual[k] - part
        lost = dispatch.p_before_curtail[k] - dispatch.scheduled_p[k]
        draw, give = _storage_room(system, before.storage_charge[row])
        dearest = max(float(grid.gen_cost_per_mw.max()), 1e-9)
        controls = Controls(
            effect=factors[:, np.concatenate([at["gen"][thermal], at["gen"][renewable], at["storage"][unit]])],
            low=np.concatenate([(away + low)[thermal], -dispatch.p_before_curtail[k][renewable],
                                -draw[unit]]),
            high=np.concatenate([(away + high)[thermal], 0.0 * renewable, give[unit]]),
            now=np.concatenate([away[thermal], -lost[renewable], 0.0 * unit]),
            cost=np.concatenate([1.0 + grid.gen_cost_per_mw[thermal] / dearest,
                                 np.full(len(renewable), self.curtail_cost), np.full(len(unit), self.storage_cost)]),
        )  # fmt: skip
        found = least_deviation(after.flow.p_or[k], limit, controls, _rest(system, factors, at["gen"], works, zone))
        by_kind = np.split(found, np.cumsum([len(thermal), len(renewable)]))
        by_kind[0] = by_kind[0] + part[thermal]
        return _commands(system, before, row, after, k, (thermal, renewable, unit), by_kind)

    def _safe(
        self,
        task: Task,
        state: State,
        rows: np.ndarray,
        after: State,
        changed: list[int],
        wanted: dict[int, list[Commands]],
        answers: dict[str, list[Commands]],
    ) -> dict[int, list[Commands]]:
        """Of what is wanted (with what is answered already) that which the forecast bears out."""
        if not wanted:
            return {}
        agents = task.system.zones.agents
        joined = {
            row: [add(answers[agent][row], commands) for agent, commands in zip(agents, asked, strict=True)]
            for row, asked in wanted.items()
        }
        copies = take(state, rows[changed])
        then, ruling = simulate(task.system, task.foreseeing, task.series, copies, joint([*joined.values()]))
        loading = np.where(then.lost | ~ruling.accepted.all(axis=1), np.inf, then.rho.max(axis=1))
        bearable = np.maximum(after.rho[changed].max(axis=1), self.margin)
        return {row: asked for (row, asked), fine in zip(joined.items(), loading <= bearable, strict=True) if fine}


def _part(dispatch: Dispatch, k: int, zone: int | None) -> np.ndarray:
    """(n_gen,) MW by which generators make up for what other zones asked for: not a single zone's to take back."""
    return np.where(dispatch.modified[k] | (zone is None), 0.0, dispatch.actual[k])


def _deviates(system: System, after: State, k: int, zone: int | None) -> bool:
    """Whether there is redispatch or curtailment to take back."""
    dispatch, mine = after.dispatch, (system.zones.gen == zone) | (zone is None)
    away = np.abs(dispatch.actual[k] - _part(dispatch, k, zone)) > SMALL_MW
    capped = dispatch.curtailment_limit[k] < 1.0
    return bool((mine & (capped | (away & system.grid.gen_redispatchable))).any())


def _room(grid: Grid, before: np.ndarray, setpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_gen,) MW down and up from ``setpoint`` that limits, and ramps from ``before`` on, leave."""
    low = np.maximum(grid.gen_pmin, before - grid.gen_max_ramp_down) - setpoint
    high = np.minimum(grid.gen_pmax, before + grid.gen_max_ramp_up) - setpoint
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _storage_room(system: System, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_storage,) MW that storages can take and give for one step."""
    grid, hours = system.grid, system.delta_time / 60.0
    room = np.maximum(grid.storage_emax - charge, 0.0) / hours / np.maximum(grid.storage_charging_efficiency, 1e-9)
    held = np.maximum(charge - grid.storage_emin, 0.0) / hours * grid.storage_discharging_efficiency
    return np.minimum(grid.storage_max_p_absorb, room), np.minimum(grid.storage_max_p_prod, held)


def _rest(system: System, factors: np.ndarray, bus: np.ndarray, works: np.ndarray, zone: int | None) -> np.ndarray:
    """(n_line,) MW per MW that the generators of others balance, in proportion to their ramps; nan without any."""
    grid = system.grid
    share = np.where(works & (system.zones.gen != zone), grid.gen_max_ramp_up + grid.gen_max_ramp_down, 0.0)
    if zone is None or share.sum() <= 0:
        return np.full(grid.n_line, np.nan)
    return factors[:, bus] @ (share / share.sum())


def _commands(
    system: System,
    before: Dispatch,
    row: int,
    after: State,
    k: int,
    units: tuple[np.ndarray, np.ndarray, np.ndarray],
    found: list[np.ndarray],
) -> list[Commands]:
    """What each zone has to ask for so that its units deviate from the schedule as ``found``."""
    grid, zones, dispatch = system.grid, system.zones, after.dispatch
    thermal, renewable, storage = units
    target = np.where(before.modified[row], before.target[row], before.actual[row])[thermal]
    reach = (grid.gen_pmax - grid.gen_pmin)[thermal]
    step = np.clip(np.clip(found[0], -reach, reach) - target, -grid.gen_max_ramp_down[thermal],
                   grid.gen_max_ramp_up[thermal])  # fmt: skip
    step = np.where(np.abs(found[0] - dispatch.actual[k][thermal]) > SMALL_MW, step, 0.0)
    available, pmax = dispatch.p_before_curtail[k][renewable], grid.gen_pmax[renewable]
    cap = np.where(-found[1] > SMALL_MW, np.clip((available + found[1]) / pmax, 0.0, 1.0), 1.0)
    capped = np.abs(cap - before.curtailment_limit[row][renewable]) > SMALL_MW / pmax
    kind = np.repeat([Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE], [len(part) for part in units]).astype(np.int8)
    use = np.concatenate([np.abs(step) > SMALL_MW, capped, np.abs(found[2]) > SMALL_MW])
    value = np.concatenate([step, cap, -found[2]])
    owner = np.concatenate([zones.gen[thermal], zones.gen[renewable], zones.storage[storage]])
    index = np.concatenate(units).astype(np.int32)
    chosen = [use & (owner == zone) for zone in range(system.n_zone)]
    return [Commands(kind[own], index[own], value[own]) for own in chosen]
