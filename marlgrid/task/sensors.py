"""What can be measured: every attribute that a feature vector may hold, where it is read, and how it is scaled."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.simulation.state import State

PROXIMITY_STEPS = 12.0
"""Steps ahead at which something planned shows at half its strength."""
LINE_UNIT_MW = 100.0


class Sensor(NamedTuple):
    """One attribute of all its elements: ``clip(scale * reading + offset, low, high)``, divided by ``unit``."""

    source: str
    """Key of ``READINGS``."""
    family: str
    """What it is measured on, which decides who sees it."""
    pick: np.ndarray
    """(n,) elements that have it."""
    unit: np.ndarray | float = 1.0
    scale: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    low: np.ndarray | float = -np.inf
    high: np.ndarray | float = np.inf
    over: float = 0.0
    """Value after a game over; nan keeps what is read."""
    measured: bool = False
    """Comes from the field, so noise applies."""
    column: np.ndarray | None = None
    """(n,) columns of the reading, where they are not ``pick``."""
    proximity: bool = False
    """Normalised to 1 now, falling towards 0 the further ahead or ago, 0 for never (a reading below 0)."""


READINGS: dict[str, Callable[[State], np.ndarray]] = {
    "gen_p": lambda s: s.flow.gen_p,
    "gen_q": lambda s: s.flow.gen_q,
    "gen_v": lambda s: s.flow.gen_v,
    "load_p": lambda s: s.flow.load_p,
    "load_q": lambda s: s.flow.load_q,
    "load_v": lambda s: s.flow.load_v,
    "p_or": lambda s: s.flow.p_or,
    "q_or": lambda s: s.flow.q_or,
    "v_or": lambda s: s.flow.v_or,
    "a_or": lambda s: s.flow.a_or,
    "theta_or": lambda s: s.flow.theta_or,
    "p_ex": lambda s: s.flow.p_ex,
    "q_ex": lambda s: s.flow.q_ex,
    "v_ex": lambda s: s.flow.v_ex,
    "a_ex": lambda s: s.flow.a_ex,
    "theta_ex": lambda s: s.flow.theta_ex,
    "rho": lambda s: s.rho,
    "topo_vect": lambda s: s.topology.topo_vect,
    "timestep_overflow": lambda s: s.counters.timestep_overflow,
    "timestep_protection_engaged": lambda s: s.counters.timestep_protection_engaged,
    "time_before_cooldown_line": lambda s: s.counters.time_before_cooldown_line,
    "time_before_cooldown_sub": lambda s: s.counters.time_before_cooldown_sub,
    "time_next_maintenance": lambda s: s.injections.time_next_maintenance,
    "duration_next_maintenance": lambda s: s.injections.duration_next_maintenance,
    "target_dispatch": lambda s: s.dispatch.target,
    "actual_dispatch": lambda s: s.dispatch.actual,
    "gen_p_before_curtail": lambda s: s.dispatch.p_before_curtail,
    "curtailment_limit": lambda s: s.dispatch.curtailment_limit,
    "curtailment_limit_effective": lambda s: s.dispatch.curtailment_limit_effective,
    "storage_charge": lambda s: s.dispatch.storage_charge,
    "storage_power": lambda s: s.dispatch.storage_power,
    "storage_power_target": lambda s: s.dispatch.storage_power_target,
    "attack_remaining": lambda s: s.attack.remaining,
    "attack_remaining_sub": lambda s: s.attacked.sub,
    "attack_budget": lambda s: s.attack.budget[:, None],
    "attack_cooldown": lambda s: s.attack.cooldown[:, None],
    "attention_budget": lambda s: s.alarm.attention_budget[:, None],
    "time_since_last_alarm": lambda s: s.alarm.time_since_last_alarm[:, None],
    "alert_duration": lambda s: s.alert.alert_duration,
    "time_since_last_alert": lambda s: s.alert.time_since_last_alert,
    "time_since_last_attack": lambda s: s.alert.time_since_last_attack,
    "attack_under_alert": lambda s: s.alert.attack_under_alert,
}
"""(n_env, n) of a state. One more reading, ``clock``, needs the time series and is made by the observation itself."""

CLOCK = ("time_of_day", "time_of_week", "time_to_horizon")
CLOCK_NAMES = ("time_of_day sin", "time_of_day cos", "time_of_week sin", "time_of_week cos", "time_to_horizon")


def sensors(system: System, normalise: bool) -> dict[str, Sensor]:
    """Every attribute by its name: the observation's names where it has them."""
    grid = system.grid
    return (
        _gen_sensors(grid)
        | _unit_sensors(grid)
        | _line_sensors(system, normalise)
        | _attention_sensors(system, normalise)
        | _clock_sensors(system)
    )


def _gen_sensors(grid: Grid) -> dict[str, Sensor]:
    every = np.arange(grid.n_gen)
    thermal, renewable = np.flatnonzero(grid.gen_redispatchable), np.flatnonzero(grid.gen_renewable)
    pmax = _positive(grid.gen_pmax)
    up, down = grid.gen_max_ramp_up[thermal], grid.gen_max_ramp_down[thermal]
    return {
        "gen_p": Sensor("gen_p", "gen", every, pmax, measured=True),
        "gen_q": Sensor("gen_q", "gen", every, pmax, measured=True),
        "gen_v": Sensor("gen_v", "gen", every, grid.sub_vn_kv[grid.gen_to_subid], measured=True),
        "gen_margin_up": Sensor(
            "gen_p", "gen", thermal, _positive(up), scale=-1.0, offset=grid.gen_pmax[thermal], low=0.0, high=up
        ),
        "gen_margin_down": Sensor(
            "gen_p", "gen", thermal, _positive(down), offset=-grid.gen_pmin[thermal], low=0.0, high=down
        ),
        "target_dispatch": Sensor("target_dispatch", "gen", thermal, pmax[thermal]),
        "actual_dispatch": Sensor("actual_dispatch", "gen", thermal, pmax[thermal]),
        "gen_p_before_curtail": Sensor("gen_p_before_curtail", "gen", renewable, pmax[renewable]),
        "curtailment_limit": Sensor("curtailment_limit", "gen", renewable, over=1.0),
        "curtailment_limit_effective": Sensor("curtailment_limit_effective", "gen", renewable, over=1.0),
    }


def _unit_sensors(grid: Grid) -> dict[str, Sensor]:
    """Loads, storages, substations."""
    loads, units = np.arange(grid.n_load), np.arange(grid.n_storage)
    demand = np.maximum(np.abs(grid.load_p_mw), 1.0)
    power = _positive(np.maximum(grid.storage_max_p_absorb, grid.storage_max_p_prod))
    return {
        "load_p": Sensor("load_p", "load", loads, demand, measured=True),
        "load_q": Sensor("load_q", "load", loads, demand, measured=True),
        "load_v": Sensor("load_v", "load", loads, grid.sub_vn_kv[grid.load_to_subid], measured=True),
        "storage_charge": Sensor("storage_charge", "storage", units, _positive(grid.storage_emax)),
        "storage_power": Sensor("storage_power", "storage", units, power, measured=True),
        "storage_power_target": Sensor("storage_power_target", "storage", units, power),
        "time_before_cooldown_sub": Sensor("time_before_cooldown_sub", "sub", np.arange(grid.n_sub), 10.0),
        "attack_remaining_sub": Sensor(
            "attack_remaining_sub", "sub", np.arange(grid.n_sub), 10.0, offset=-1.0, low=0.0
        ),
    }


def _line_sensors(system: System, normalise: bool) -> dict[str, Sensor]:
    """Line ends, lines, places of the topology vector."""
    grid = system.grid
    lines, places = np.arange(grid.n_line), np.arange(grid.dim_topo)
    found = {}
    for end, sub in (("or", grid.line_or_to_subid), ("ex", grid.line_ex_to_subid)):
        for quantity, unit in (
            ("p", LINE_UNIT_MW),
            ("q", LINE_UNIT_MW),
            ("v", grid.sub_vn_kv[sub]),
            ("a", _positive(system.thermal_limit)),
            ("theta", 90.0),
        ):
            name = f"{quantity}_{end}"
            found[name] = Sensor(name, f"line_{end}", lines, unit, measured=True)
    allowed = 1.0 + system.parameters.nb_timestep_overflow_allowed
    busbar = (
        Sensor("topo_vect", "place", places, offset=-1.0, low=-1.0, over=-1.0)
        if normalise
        else Sensor("topo_vect", "place", places, over=-1.0)
    )
    never = 0.0 if normalise else -1.0
    return found | {
        "rho": Sensor("rho", "line", lines, measured=True),
        "line_status": Sensor("topo_vect", "line", lines, low=0.0, high=1.0, column=grid.line_or_pos_topo_vect),
        "timestep_overflow": Sensor("timestep_overflow", "line", lines, allowed),
        "timestep_protection_engaged": Sensor("timestep_protection_engaged", "line", lines, allowed),
        "time_before_cooldown_line": Sensor("time_before_cooldown_line", "line", lines, 10.0),
        "time_next_maintenance": Sensor("time_next_maintenance", "line", lines, over=never, proximity=True),
        "duration_next_maintenance": Sensor("duration_next_maintenance", "line", lines, 100.0),
        "attack_remaining": Sensor("attack_remaining", "line", lines, 10.0),
        "topo_vect": busbar,
    }


def _attention_sensors(system: System, normalise: bool) -> dict[str, Sensor]:
    """Alarms, which every zone knows of, and alerts at their lines; none where the case has neither."""
    rules, never = system.attention, 0.0 if normalise else -1.0
    team = np.arange(min(system.dim_alarms, 1))
    lines, alerts = rules.alert_line(system.grid), np.arange(system.dim_alerts)
    window = float(max(system.parameters.alert_time_window, 1))
    return {
        "attention_budget": Sensor("attention_budget", "team", team, rules.max_budget or 1.0),
        "time_since_last_alarm": Sensor("time_since_last_alarm", "team", team, over=never, proximity=True),
        "active_alert": Sensor("alert_duration", "line", lines, low=0.0, high=1.0, column=alerts),
        "alert_duration": Sensor("alert_duration", "line", lines, window, column=alerts),
        "time_since_last_alert": Sensor("time_since_last_alert", "line", lines, column=alerts, proximity=True),
        "time_since_last_attack": Sensor(
            "time_since_last_attack", "line", lines, over=never, column=alerts, proximity=True
        ),
        "attack_under_alert": Sensor("attack_under_alert", "line", lines, over=np.nan, column=alerts),
    }


def _clock_sensors(system: System) -> dict[str, Sensor]:
    """Time, and what only the opponent knows."""
    rules, one = system.attack, np.arange(1)
    lines = np.arange(system.grid.n_line)
    return {
        "time_of_day": Sensor("clock", "time", np.arange(2), over=np.nan),
        "time_of_week": Sensor("clock", "time", np.arange(2, 4), over=np.nan),
        "time_to_horizon": Sensor("clock", "time", np.arange(4, 5), over=np.nan),
        "attack_budget": Sensor("attack_budget", "opponent", one, float(rules.max_duration)),
        "attack_cooldown": Sensor("attack_cooldown", "opponent", one, float(max(rules.cooldown, 1))),
        "attackable": Sensor(
            "topo_vect",
            "attackable",
            lines,
            scale=0.0,
            offset=system.attackable.astype(float),
            over=np.nan,
            column=system.grid.line_or_pos_topo_vect,
        ),
    }


def _positive(unit: np.ndarray) -> np.ndarray:
    """A unit to divide by."""
    return np.where(unit > 0, unit, 1.0)
