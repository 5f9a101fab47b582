"""Every attribute of an observation, as data: its size, type, unit, meaning, and where its value comes from.

``docs/observation.md`` holds the table that ``python -m marlgrid.task.attributes`` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System

if TYPE_CHECKING:
    from marlgrid.task.observation import Observation
    from marlgrid.task.record import Named


class Attribute(NamedTuple):
    """One row of the table. ``read`` says how to get the value, or ``derived`` where there is no state to read."""

    size: str
    """Count that is the length of the vector (``n_line``, ... of the grid, or of ``COUNTS``); empty for a number."""
    dtype: type
    unit: str
    meaning: str
    read: Callable[[Observation], Any] | None = None
    """From the state."""
    derived: Callable[[Named], Any] | None = None
    """From other attributes and the system."""
    lost: float | None = 0.0
    """Value after a game over, None where it stays as it is."""
    in_vector: bool = True
    """Part of ``to_vect`` and ``to_json``."""


def _flow(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.flow, name)[0]


def _dispatch(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.dispatch, name)[0]


def _counter(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.counters, name)[0]


def _planned(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.injections, name)[0]


def _date(part: str) -> Callable[[Observation], int]:
    return lambda o: getattr(o.time_stamp, part)


def _busbar(places: Callable[[Grid], np.ndarray]) -> Callable[[Named], np.ndarray]:
    return lambda o: o.topo_vect[places(o.grid)]


def _line_status(o: Named) -> np.ndarray:
    status: np.ndarray = o.topo_vect[o.grid.line_or_pos_topo_vect] > 0
    return status


def _margin_up(o: Named) -> np.ndarray:
    room = np.minimum(o.grid.gen_pmax - o.gen_p, o.grid.gen_max_ramp_up)
    return np.where(o.grid.gen_renewable, 0.0, np.maximum(room, 0.0))


def _margin_down(o: Named) -> np.ndarray:
    room = np.minimum(o.gen_p - o.grid.gen_pmin, o.grid.gen_max_ramp_down)
    return np.where(o.grid.gen_renewable, 0.0, np.maximum(room, 0.0))


def _curtailed_mw(o: Named) -> np.ndarray:
    return np.where(o.grid.gen_renewable, o.gen_p_before_curtail - o.gen_p, 0.0)


def _per_pmax(o: Named) -> np.ndarray:
    ratio: np.ndarray = o.curtailment_mw / np.where(o.grid.gen_pmax > 0, o.grid.gen_pmax, 1.0)
    return ratio


def _warned(group: str, name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(getattr(o.state, group), name)[0]


def _vector_of_one(group: str, name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(getattr(o.state, group), name)[:1]


INTO_LINE = ", positive into the line"


def _flows(
    size: str, names: str, where: str, source: Callable[[str], Callable[[Observation], np.ndarray]] = _flow
) -> dict[str, Attribute]:
    """Solved quantities of one kind of element, by their usual letters."""
    quantities = {
        "p": ("MW", "active power"),
        "q": ("MVAr", "reactive power"),
        "v": ("kV", "voltage"),
        "a": ("A", "current"),
        "theta": ("degree", "voltage angle"),
    }
    found = {}
    for name in names.split():
        unit, noun = next(quantities[part] for part in name.strip("_").split("_") if part in quantities)
        sense = INTO_LINE if size == "n_line" and unit in ("MW", "MVAr") else ""
        found[name] = Attribute(size, float, unit, f"{noun} {where}{sense}", source(name.strip("_")))
    return found


_DATE = {
    "year": Attribute("", int, "", "year", _date("year"), lost=None),
    "month": Attribute("", int, "", "month, January is 1", _date("month"), lost=None),
    "day": Attribute("", int, "", "day of the month", _date("day"), lost=None),
    "hour_of_day": Attribute("", int, "hour", "0 to 23", _date("hour"), lost=None),
    "minute_of_hour": Attribute("", int, "minute", "0 to 59", _date("minute"), lost=None),
    "day_of_week": Attribute("", int, "", "Monday is 0", lambda o: o.time_stamp.weekday(), lost=None),
}

_GRID = {
    **_flows("n_gen", "gen_p gen_q gen_v", "of each generator"),
    **_flows("n_load", "load_p load_q load_v", "of each load"),
    **_flows("n_line", "p_or q_or v_or a_or", "at the origin of each line"),
    **_flows("n_line", "p_ex q_ex v_ex a_ex", "at the extremity of each line"),
    "rho": Attribute("n_line", float, "ratio", "origin's current over the thermal limit", lambda o: o.state.rho[0]),
    "line_status": Attribute("n_line", bool, "", "in service", derived=_line_status),
    "timestep_overflow": Attribute(
        "n_line", int, "steps", "consecutive steps above the thermal limit", _counter("timestep_overflow")
    ),
    "topo_vect": Attribute(
        "dim_topo", int, "busbar", "busbar of each element, -1 out", lambda o: o.state.topology.topo_vect[0], lost=-1
    ),
    "time_before_cooldown_line": Attribute(
        "n_line", int, "steps", "until the line may be switched again", _counter("time_before_cooldown_line")
    ),
    "time_before_cooldown_sub": Attribute(
        "n_sub", int, "steps", "until the substation may be changed again", _counter("time_before_cooldown_sub")
    ),
    "time_next_maintenance": Attribute(
        "n_line", int, "steps", "to the next maintenance, 0 during one, -1 none", _planned("time_next_maintenance"),
        lost=-1,
    ),
    "duration_next_maintenance": Attribute(
        "n_line", int, "steps", "that it lasts, or still lasts", _planned("duration_next_maintenance")
    ),
}  # fmt: skip

_DISPATCH = {
    "target_dispatch": Attribute("n_gen", float, "MW", "redispatch asked for, summed over the episode",
                                 _dispatch("target")),
    "actual_dispatch": Attribute("n_gen", float, "MW", "redispatch in force", _dispatch("actual")),
    "storage_charge": Attribute("n_storage", float, "MWh", "energy stored", _dispatch("storage_charge")),
    "storage_power_target": Attribute("n_storage", float, "MW", "asked for, charging is positive",
                                      _dispatch("storage_power_target")),
    "storage_power": Attribute("n_storage", float, "MW", "realised, charging is positive", _dispatch("storage_power")),
    "gen_p_before_curtail": Attribute("n_gen", float, "MW", "renewable production without curtailment, 0 for others",
                                      _dispatch("p_before_curtail")),
    "curtailment": Attribute("n_gen", float, "ratio of pmax", "production lost to curtailment", derived=_per_pmax),
    "curtailment_limit": Attribute("n_gen", float, "ratio of pmax", "cap asked for, 1 without one",
                                   _dispatch("curtailment_limit"), lost=1),
    "curtailment_limit_effective": Attribute("n_gen", float, "ratio of pmax", "cap in force",
                                             _dispatch("curtailment_limit_effective"), lost=1),
}  # fmt: skip

_ALARM = {
    "is_alarm_illegal": Attribute("[1]", bool, "", "an alarm of this step could not be paid",
                                  _vector_of_one("alarm", "is_alarm_illegal")),
    "time_since_last_alarm": Attribute("[1]", int, "steps", "since an alarm was raised, -1 before the first",
                                       _vector_of_one("alarm", "time_since_last_alarm"), lost=-1),
    "last_alarm": Attribute("dim_alarms", int, "steps", "current_step when the area's last alarm was raised, -1 never",
                            _warned("alarm", "last_alarm")),
    "attention_budget": Attribute("[1]", float, "alarm costs", "left for alarms",
                                  lambda o: o.state.alarm.attention_budget[:1].astype(np.float64)),
    "was_alarm_used_after_game_over": Attribute("[1]", bool, "", "an alarm was raised in time for this game over",
                                                _vector_of_one("alarm", "was_alarm_used_after_game_over"), lost=None),
}  # fmt: skip

_ALERT = {
    "active_alert": Attribute("dim_alerts", bool, "", "alerted to in this step", _warned("alert", "active_alert")),
    "attack_under_alert": Attribute(
        "dim_alerts", int, "", "an attack began within the window: 1 with alert, -1 without; 0 none did",
        _warned("alert", "attack_under_alert"), lost=None,
    ),
    "time_since_last_alert": Attribute("dim_alerts", int, "steps", "since the last alert, -1 before the first",
                                       _warned("alert", "time_since_last_alert")),
    "alert_duration": Attribute("dim_alerts", int, "steps", "of alert without a break",
                                _warned("alert", "alert_duration")),
    "total_number_of_alert": Attribute(
        "[0 or 1]", int, "", "alerts of the episode, one for each line and step",
        lambda o: o.state.alert.total_number_of_alert[: COUNTS["[0 or 1]"](o.system)],
    ),
    "time_since_last_attack": Attribute("dim_alerts", int, "steps", "since an attack began, -1 before the first",
                                        _warned("alert", "time_since_last_attack"), lost=-1),
    "was_alert_used_after_attack": Attribute(
        "dim_alerts", int, "", "alert or silence proved right (1) or wrong (-1) in this step; 0 nothing to judge",
        _warned("alert", "was_alert_used_after_attack"), lost=None,
    ),
}  # fmt: skip

_SHUNT = {
    **_flows("n_shunt", "_shunt_p _shunt_q _shunt_v", "of each shunt"),
    "_shunt_bus": Attribute(
        "n_shunt", int, "busbar", "busbar of each shunt, -1 out", lambda o: o.state.topology.shunt_bus[0], lost=-1
    ),
}  # fmt: skip

_LATER = {
    "current_step": Attribute(
        "", int, "steps", "made in this episode", lambda o: int(o.state.t[0] - o.state.t_start[0]), lost=None
    ),
    "max_step": Attribute(
        "", int, "steps", "of the whole episode", lambda o: int(o.state.t_end[0] - o.state.t_start[0]), lost=None
    ),
    "delta_time": Attribute("", float, "minute", "length of a step", lambda o: float(o.system.delta_time), lost=None),
    "gen_margin_up": Attribute("n_gen", float, "MW", "possible rise in one step, 0 for renewables", derived=_margin_up),
    "gen_margin_down": Attribute(
        "n_gen", float, "MW", "possible fall in one step, 0 for renewables", derived=_margin_down
    ),
}  # fmt: skip

_LAST = {
    "gen_p_delta": Attribute(
        "n_gen", float, "MW", "production minus its set point: what the slack generator took over",
        lambda o: o.state.flow.gen_p[0] - o.state.dispatch.setpoint[0],
    ),
    "timestep_protection_engaged": Attribute(
        "n_line", int, "steps", "consecutive steps above the soft threshold: what trips a line",
        _counter("timestep_protection_engaged"),
    ),
    **_flows("n_line", "theta_or theta_ex", "at the ends of each line, 0 when it is out"),
    **_flows("n_load", "load_theta", "of each load's bus"),
    **_flows("n_gen", "gen_theta", "of each generator's bus"),
    **_flows("n_storage", "storage_theta", "of each storage's bus"),
}  # fmt: skip

_OURS = {
    "attack_remaining": Attribute(
        "n_line", int, "steps", "further steps under attack", lambda o: o.state.attack.remaining[0], lost=None
    ),
    "attack_remaining_sub": Attribute(
        "n_sub", int, "steps", "further steps under attack",
        lambda o: np.maximum(o.state.attacked.sub[0] - 1, 0), lost=None,
    ),
    "attack_budget": Attribute("", float, "line-steps", "left to the opponent",
                               lambda o: float(o.state.attack.budget[0]), lost=None),
    "attack_cooldown": Attribute("", int, "steps", "until the next attack may start",
                                 lambda o: int(o.state.attack.cooldown[0]), lost=None),
    "disc_lines": Attribute("n_line", int, "", "wave of the cascade that tripped the line in this step, else -1",
                            lambda o: o.state.disc_lines[0], lost=None),
    "outcome": Attribute("", int, "", "how the episode stands: the code of ``Outcome``, 0 running",
                         lambda o: int(o.state.outcome[0]), lost=None),
}  # fmt: skip


def _copied(name: str) -> dict[str, Any]:
    return {"derived": lambda o: getattr(o, name), "in_vector": False}


_DERIVED = {
    "gen_bus": Attribute("n_gen", int, "busbar", "busbar of each generator, -1 out",
                         derived=_busbar(lambda g: g.gen_pos_topo_vect), lost=-1, in_vector=False),
    "load_bus": Attribute("n_load", int, "busbar", "busbar of each load, -1 out",
                          derived=_busbar(lambda g: g.load_pos_topo_vect), lost=-1, in_vector=False),
    "storage_bus": Attribute("n_storage", int, "busbar", "busbar of each storage, -1 out",
                             derived=_busbar(lambda g: g.storage_pos_topo_vect), lost=-1, in_vector=False),
    "line_or_bus": Attribute("n_line", int, "busbar", "busbar of each line's origin, -1 out",
                             derived=_busbar(lambda g: g.line_or_pos_topo_vect), lost=-1, in_vector=False),
    "line_ex_bus": Attribute("n_line", int, "busbar", "busbar of each line's extremity, -1 out",
                             derived=_busbar(lambda g: g.line_ex_pos_topo_vect), lost=-1, in_vector=False),
    "thermal_limit": Attribute("n_line", float, "A", "of each line",
                               read=lambda o: o.state.thermal_limit[0], derived=lambda o: o.system.thermal_limit,
                               lost=None, in_vector=False),
    "curtailment_mw": Attribute("n_gen", float, "MW", "production lost to curtailment", derived=_curtailed_mw,
                                in_vector=False),
    "curtailment_limit_mw": Attribute("n_gen", float, "MW", "cap asked for, pmax without one",
                                      derived=lambda o: o.curtailment_limit * o.grid.gen_pmax, lost=None,
                                      in_vector=False),
    "prod_p": Attribute("n_gen", float, "MW", "older name of gen_p", **_copied("gen_p")),
    "prod_q": Attribute("n_gen", float, "MVAr", "older name of gen_q", **_copied("gen_q")),
    "prod_v": Attribute("n_gen", float, "kV", "older name of gen_v", **_copied("gen_v")),
}  # fmt: skip

ATTRIBUTES: dict[str, Attribute] = (
    _DATE | _GRID | _DISPATCH | _ALARM | _SHUNT | _LATER | _ALERT | _LAST | _OURS | _DERIVED
)
"""By name; those in the vector stand in its order, which is Grid2Op's as far as Grid2Op has them."""

VECTOR = tuple(name for name, attribute in ATTRIBUTES.items() if attribute.in_vector)
"""Names of the attributes in the vector."""


COUNTS: dict[str, Callable[[System], int]] = {
    "[1]": lambda _: 1,
    "dim_alarms": lambda system: system.dim_alarms,
    "dim_alerts": lambda system: system.dim_alerts,
    "[0 or 1]": lambda system: int(system.dim_alerts > 0),
}
"""Sizes that are no count of the grid; the last one is 1 where there are alerts."""


def size_of(system: System, attribute: Attribute) -> int:
    """Length of an attribute that is a vector."""
    count = COUNTS.get(attribute.size)
    return int(getattr(system.grid, attribute.size)) if count is None else count(system)


def shape(system: System, name: str) -> tuple[int, ...]:
    """Shape of an attribute's value: ``()`` for a number."""
    attribute = ATTRIBUTES[name]
    return (size_of(system, attribute),) if attribute.size else ()


def attribute_table() -> str:
    """The table in Markdown."""
    lines = ["| name | size | type | unit | meaning | after a game over |", "|---|---|---|---|---|---|"]
    for name, a in ATTRIBUTES.items():
        kept = "unchanged" if a.derived is None or name == "thermal_limit" else "as it follows"
        lost = kept if a.lost is None else "False" if a.dtype is bool else f"{a.lost:g}"
        listed = name if a.in_vector else f"{name} *"
        lines.append(f"| {listed} | {a.size or 1} | {a.dtype.__name__} | {a.unit} | {a.meaning} | {lost} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(attribute_table())
