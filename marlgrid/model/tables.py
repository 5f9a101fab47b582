"""The static part of a system packed for compiled kernels: one record per element, readable as rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from marlgrid.blocks import Layout

if TYPE_CHECKING:
    from marlgrid.model.system import System

LINE = np.dtype(
    [
        ("or_pos", "i4"),
        ("ex_pos", "i4"),
        ("or_sub", "i4"),
        ("ex_sub", "i4"),
        ("or_zone", "i4"),
        ("ex_zone", "i4"),
        ("area", "i4"),
        ("attackable", "?"),
    ]
)
PLACE = np.dtype([("sub", "i4"), ("line", "i4"), ("zone", "i4"), ("area", "i4")])
GEN = np.dtype(
    [
        ("pos", "i4"),
        ("zone", "i4"),
        ("renewable", "?"),
        ("pmin", "f8"),
        ("pmax", "f8"),
        ("ramp_up", "f8"),
        ("ramp_down", "f8"),
        ("min_uptime", "i4"),
        ("min_downtime", "i4"),
    ]
)
STORAGE = np.dtype(
    [
        ("pos", "i4"),
        ("zone", "i4"),
        ("emax", "f8"),
        ("emin", "f8"),
        ("max_absorb", "f8"),
        ("max_prod", "f8"),
        ("loss", "f8"),
        ("charging", "f8"),
        ("discharging", "f8"),
    ]
)
RULES = np.dtype(
    [
        ("n_busbar", "i4"),
        ("tie_switch_or", "?"),
        ("tie_switch_ex", "?"),
        ("max_line", "i4"),
        ("max_sub", "i4"),
        ("n_area", "i4"),
        ("cooldowns", "?"),
        ("storage_needs_bus", "?"),
        ("cooldown_line", "i4"),
        ("cooldown_sub", "i4"),
        ("reconnection", "i4"),
        ("overflow_allowed", "i4"),
        ("hard", "f8"),
        ("soft", "f8"),
        ("no_overflow_disconnection", "?"),
        ("can_switch_off", "?"),
        ("recruits_idle", "?"),
        ("minimum_times", "?"),
        ("redispatches", "?"),
        ("limit_infeasible", "?"),
        ("attack_max_duration", "i4"),
        ("attack_cooldown", "i4"),
        ("attack_budget_per_step", "f8"),
        ("hours_per_step", "f8"),
        ("alarm_cost", "f4"),
        ("alarm_growth", "f4"),
        ("alarm_most", "f4"),
        ("alarm_best_time", "i4"),
        ("alarm_window", "i4"),
        ("alert_window", "i4"),
    ]
)


class Tables(NamedTuple):
    """Arrays of the records above, where nothing else is said; ``rules`` has one entry."""

    line: Annotated[np.ndarray, "line", LINE]
    place: Annotated[np.ndarray, "place", PLACE]
    gen: Annotated[np.ndarray, "gen", GEN]
    storage: Annotated[np.ndarray, "storage", STORAGE]
    rules: Annotated[np.ndarray, "one", RULES]
    may_alarm: Annotated[np.ndarray, "zone alarm", "?"]
    """(n_zone, dim_alarms) bool: the zone may raise the alarm."""
    may_alert: Annotated[np.ndarray, "zone alert", "?"]
    """(n_zone, dim_alerts) bool: the zone may raise the alert."""
    alert_line: Annotated[np.ndarray, "alert", "i4"]
    """(dim_alerts,) int32 number of each alertable line."""


LAYOUT = Layout(Tables, batched=False)
view_tables = LAYOUT.view
"""Compiled: the tables of a block."""


def tables(system: System) -> tuple[np.ndarray, Tables]:
    """The tables of a system, and the block of memory that they are views of."""
    made = _tables(system)
    block, views = LAYOUT.new(**system.sizes, one=1)
    for view, table in zip(views, made, strict=True):
        view[:] = table
    return block, views


def _tables(system: System) -> Tables:
    grid, zones = system.grid, system.zones
    layout = grid.topology_layout
    losses = system.parameters.activate_storage_loss
    area = system.rules.area_of_sub(grid)
    return Tables(
        line=_records(
            LINE,
            layout.line_or,
            layout.line_ex,
            grid.line_or_to_subid,
            grid.line_ex_to_subid,
            zones.line_or,
            zones.line_ex,
            area[grid.line_or_to_subid],
            system.attackable,
        ),
        place=_records(PLACE, layout.sub, layout.line, zones.place, area[layout.sub]),
        gen=_records(
            GEN,
            layout.gen,
            zones.gen,
            grid.gen_renewable,
            grid.gen_pmin,
            grid.gen_pmax,
            grid.gen_max_ramp_up,
            grid.gen_max_ramp_down,
            grid.gen_min_uptime,
            grid.gen_min_downtime,
        ),
        storage=_records(
            STORAGE,
            layout.storage,
            zones.storage,
            grid.storage_emax,
            grid.storage_emin,
            grid.storage_max_p_absorb,
            grid.storage_max_p_prod,
            grid.storage_loss if losses else np.zeros(grid.n_storage),
            grid.storage_charging_efficiency if losses else np.ones(grid.n_storage),
            grid.storage_discharging_efficiency if losses else np.ones(grid.n_storage),
        ),
        rules=_rules(system, int(area.max()) + 1),
        may_alarm=system.attention.may_alarm(zones),
        may_alert=system.attention.may_alert(zones),
        alert_line=system.alert_line,
    )


def _records(dtype: np.dtype, *columns: np.ndarray) -> np.ndarray:
    """A record array out of equally long columns."""
    table = np.empty(len(columns[0]), dtype=dtype)
    assert dtype.names is not None
    for name, column in zip(dtype.names, columns, strict=True):
        table[name] = column
    return table


def _rules(system: System, n_area: int) -> np.ndarray:
    parameters, attack, tie_lines = system.parameters, system.attack, system.zones.tie_lines
    grid, quotas = system.grid, system.rules.quotas
    row = np.zeros(1, dtype=RULES)
    row["n_busbar"] = grid.n_busbar
    row["tie_switch_or"] = tie_lines in ("both", "origin")
    row["tie_switch_ex"] = tie_lines == "both"
    row["max_line"] = parameters.max_line_status_changed if quotas else grid.n_line
    row["max_sub"] = parameters.max_sub_changed if quotas else grid.n_sub
    row["n_area"] = n_area
    row["cooldowns"] = system.rules.cooldowns
    row["storage_needs_bus"] = system.rules.storages
    row["cooldown_line"] = parameters.nb_timestep_cooldown_line
    row["cooldown_sub"] = parameters.nb_timestep_cooldown_sub
    row["reconnection"] = parameters.nb_timestep_reconnection
    row["overflow_allowed"] = parameters.nb_timestep_overflow_allowed
    row["hard"] = parameters.hard_overflow_threshold
    row["soft"] = parameters.soft_overflow_threshold
    row["no_overflow_disconnection"] = parameters.no_overflow_disconnection
    row["can_switch_off"] = parameters.allow_dispatch_gen_switch_off
    row["recruits_idle"] = parameters.allow_dispatch_gen_switch_off and parameters.ignore_min_up_down_time
    row["minimum_times"] = not parameters.ignore_min_up_down_time
    row["redispatches"] = parameters.env_does_redispatching
    row["limit_infeasible"] = parameters.limit_infeasible_curtailment_storage_action
    row["attack_max_duration"] = attack.max_duration
    row["attack_cooldown"] = attack.cooldown
    row["attack_budget_per_step"] = attack.budget_per_step
    row["hours_per_step"] = system.delta_time / 60
    row["alarm_cost"] = system.attention.alarm_cost
    row["alarm_growth"] = system.attention.budget_per_step
    row["alarm_most"] = system.attention.max_budget
    row["alarm_best_time"] = parameters.alarm_best_time
    row["alarm_window"] = parameters.alarm_window_size
    row["alert_window"] = parameters.alert_time_window
    return row
