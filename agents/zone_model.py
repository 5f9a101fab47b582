"""The grid as one zone can compute with it: what it sees, and equivalents of the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from agents.equivalent import Exchange, completed, exchange, reduced
from marlgrid.model.rule_set import RuleSet
from marlgrid.model.system import System
from marlgrid.model.time_series import Injections
from marlgrid.powerflow import power_flow
from marlgrid.powerflow.base import PowerFlow
from marlgrid.powerflow.dc import DCPowerFlow
from marlgrid.simulation.frame import LAYOUT, Memory
from marlgrid.simulation.state import State
from marlgrid.task.patch import Patch, patch_of
from marlgrid.task.sight import Sight
from marlgrid.task.task import Task


@dataclass(frozen=True, eq=False)
class Expected:
    """A time series of one row per episode: scenario k is what the zone expects in episode k."""

    rows: Injections
    split: str
    delta_time: float
    n_horizon: int = 1

    @property
    def splits(self) -> dict[str, range]:
        return {self.split: range(len(self.rows.gen_p))}

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:  # noqa: ARG002
        """Of the next step, all that there is."""
        return Injections(*(array[scenario] for array in self.rows))

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        return self.forecast(scenario, t, 1)

    def n_rows(self, scenario: int) -> int:  # noqa: ARG002
        return 1

    def start(self, scenario: int) -> np.datetime64:  # noqa: ARG002
        return np.datetime64("NaT")


@dataclass(frozen=True, eq=False)
class ZoneModel:
    """The patch of the grid that a zone sees, made complete; elements of the patch keep their numbers there."""

    patch: Patch
    system: System
    solver: PowerFlow
    whole: System
    admittance: np.ndarray
    """Between the border substations, see ``equivalent.reduced``."""

    def task(self, task: Task, state: State) -> tuple[Task, State]:
        """The zone's own version of a task and of the states of a batch: nothing in them is from beyond its sight."""
        border = exchange(self.whole.grid, self.patch, self.admittance, state)
        now = self._injections(state.injections, border)
        here = self._state(state, now, border)
        ahead = self._injections(task.series.forecast(state.scenario, state.t, 1), border)
        n_gen = len(self.patch.gen)
        ahead.gen_p[:, n_gen:] = here.dispatch.scheduled_p[:, n_gen:]
        own = replace(
            task, system=self.system, solver=self.solver, forecast_solver=None, opponent=None, opponent_agent=False,
            series=Expected(ahead, task.split, task.series.delta_time),
        )  # fmt: skip
        return own, here

    def _state(self, state: State, injections: Injections, border: Exchange) -> State:
        memory = Memory(self.system, state.n_env)
        own = memory.state
        for field in LAYOUT.fields:
            if field.path[0] == "state" and field.sizes != ("bus",):
                self._copy(field.sizes[-1] if field.sizes else "", _read(own, field.path), _read(state, field.path))
        for target, source in zip(own.injections, injections, strict=True):
            target[:] = source
        self._blank_beyond(own, border)
        own.scenario[:] = np.arange(state.n_env)
        return memory.framed()

    def _copy(self, size: str, target: np.ndarray, source: np.ndarray) -> None:
        """One array of the whole grid's state, as far as it is in view."""
        if size == "place":
            target[:, self._places] = source[:, self.patch.place]
        elif size in ("line", "sub", "gen", "load", "storage", "shunt", "alarm", "alert"):
            numbers = getattr(self.patch, size)
            target[..., : len(numbers)] = source[..., numbers]
        else:
            target[:] = source

    def _blank_beyond(self, own: State, border: Exchange) -> None:
        """What is unknown of the far side, and the state of the equivalents."""
        patch, grid = self.patch, self.system.grid
        n_line, n_gen, layout = len(patch.line), len(patch.gen), grid.topology_layout
        topology, dispatch = own.topology, own.dispatch
        beyond = patch.beyond[layout.sub]
        for places in (topology.topo_vect, topology.last_bus):
            places[:, beyond] = np.where(places[:, beyond] >= 0, 1, -1)
            for added in (layout.line_or[n_line:], layout.line_ex[n_line:], layout.gen[n_gen:],
                          layout.load[len(patch.load):]):  # fmt: skip
                places[:, added] = 1
        own.attacked.bus[:, beyond] = 0
        for array in (own.counters.time_before_cooldown_sub, own.attacked.sub):
            array[:, patch.beyond] = 0
        for end, unseen in patch.unseen.items():
            for name in ("p", "q", "v", "a", "theta"):
                getattr(own.flow, f"{name}_{end}")[:, :n_line][:, unseen] = 0.0
        dispatch.curtailment_limit[:, n_gen:] = dispatch.curtailment_limit_effective[:, n_gen:] = 1.0
        own.thermal_limit[:, n_line:] = grid.thermal_limit[n_line:]
        self._balance(own, n_gen)
        # told to nobody, or of the whole grid
        own.attack.budget[:] = own.attack.cooldown[:] = own.attack.starts[:] = own.attacked.sub_started[:] = 0
        own.flow.voltage[:] = self._warm_start(own, border)

    def _balance(self, own: State, n_gen: int) -> None:
        """Gives the rest of the grid the redispatch that must be there, as the sum of all makes up for storages and
        curtailment; where no generator here has a target, those there lead and stay where they are."""
        dispatch = own.dispatch
        lost = np.where(self.system.grid.gen_renewable, dispatch.p_before_curtail - dispatch.scheduled_p, 0.0)
        dispatch.curtailed[:] = lost[:, :n_gen].sum(axis=1)
        dispatch.setpoint[:, n_gen:] = own.injections.gen_p[:, n_gen:]
        if dispatch.actual.shape[1] == n_gen:
            return
        here = dispatch.actual[:, :n_gen].sum(axis=1) - dispatch.storage_power.sum(axis=1) - dispatch.curtailed
        dispatch.actual[:, n_gen:] = -here[:, None] / (dispatch.actual.shape[1] - n_gen)
        dispatch.target[:, n_gen:] = dispatch.actual[:, n_gen:]
        dispatch.modified[:, n_gen:] = ~dispatch.modified[:, :n_gen].any(axis=1, keepdims=True)
        dispatch.scheduled_p[:, n_gen:] = dispatch.setpoint[:, n_gen:] - dispatch.actual[:, n_gen:]

    def _warm_start(self, own: State, border: Exchange) -> np.ndarray:
        """(n_env, n_bus) complex per unit out of the measurements, zeros where nothing is on a bus."""
        grid = self.system.grid
        voltage = np.zeros((own.n_env, grid.n_bus), dtype=complex)
        rows = np.arange(own.n_env)[:, None]
        for end, sub in (("or", grid.line_or_to_subid), ("ex", grid.line_ex_to_subid)):
            place = getattr(grid.topology_layout, f"line_{end}")
            v, theta = getattr(own.flow, f"v_{end}"), getattr(own.flow, f"theta_{end}")
            bus = sub + (np.maximum(own.topology.topo_vect[:, place], 1) - 1) * grid.n_sub
            here = v / grid.sub_vn_kv[sub] * np.exp(1j * np.deg2rad(theta))
            row, line = np.nonzero(v > 0)
            voltage[rows[row, 0], bus[row, line]] = here[row, line]
        voltage[:, np.flatnonzero(self.patch.beyond)] = border.voltage
        return voltage

    def _injections(self, whole: Injections, border: Exchange) -> Injections:
        """Of what is in view, and of the equivalents."""
        patch, grid = self.patch, self.system.grid
        n_gen, at = len(patch.gen), np.flatnonzero(patch.beyond)
        n_env, n_new = len(border.p_mw), grid.n_line - len(patch.line)
        offset = np.broadcast_to(grid.gen_pmax[n_gen:] / 2, border.p_mw.shape)
        volts = np.abs(border.voltage) * grid.sub_vn_kv[at]
        quiet, never = np.zeros((n_env, n_new), dtype=np.int32), np.full((n_env, n_new), -1, dtype=np.int32)
        return Injections(
            load_p=np.hstack([whole.load_p[:, patch.load], offset - border.p_mw]),
            load_q=np.hstack([whole.load_q[:, patch.load], np.zeros_like(border.p_mw)]),
            gen_p=np.hstack([whole.gen_p[:, patch.gen], offset]),
            gen_v=np.hstack([whole.gen_v[:, patch.gen], volts]),
            time_next_maintenance=np.hstack([whole.time_next_maintenance[:, patch.line], never]),
            duration_next_maintenance=np.hstack([whole.duration_next_maintenance[:, patch.line], quiet]),
            hazard_duration=np.hstack([whole.hazard_duration[:, patch.line], quiet]),
        )

    @cached_property
    def _places(self) -> np.ndarray:
        """(n_place,) where each place of the patch is in the model."""
        own, layout = self.patch.system.grid.topology_layout, self.system.grid.topology_layout
        places = np.empty(len(own.sub), dtype=np.int64)
        for name in ("line_or", "line_ex", "gen", "load", "storage"):
            here = getattr(own, name)
            places[here] = getattr(layout, name)[: len(here)]
        return places


@lru_cache(maxsize=128)
def zone_model(system: System, sight: Sight, zone: int, exact: bool) -> ZoneModel:
    """The model of a zone that sees as far as ``sight`` says; ``exact``: with an AC power flow, else DC."""
    patch = patch_of(system, sight.subs(system, zone))
    admittance = reduced(system.grid, patch)
    grid = completed(system, patch, admittance)
    own = replace(
        patch.system, grid=grid, zones=replace(patch.system.zones, grid=grid), parameters=system.parameters,
        attack=replace(system.attack, lines=(), subs=()), rules=_rules(system, patch),
    )  # fmt: skip
    return ZoneModel(patch, own, power_flow("newton" if exact else "dc", grid), system, admittance)


def _rules(system: System, patch: Patch) -> RuleSet:
    """The rules as far as they concern the patch; those of the user's own may look at anything, and are left out."""
    area = system.rules.area_of_sub(system.grid)[patch.sub]
    areas = tuple(tuple(np.flatnonzero(area == a).tolist()) for a in np.unique(area)) if system.rules.areas else ()
    return replace(system.rules, areas=areas, own=())


def model_of(task: Task, zone: int) -> ZoneModel:
    """The model of a zone of a task, which sees as far as its observation does."""
    sight = getattr(task.observation, "sight", Sight())
    return zone_model(task.system, sight, zone, not isinstance(task.foreseeing, DCPowerFlow))


def _read(record: State, path: tuple[str, ...]) -> np.ndarray:
    for name in path[1:]:
        record = getattr(record, name)
    return record  # type: ignore[return-value]
