"""Every attribute of an observation, as data: its size, type, unit, meaning, and where its value comes from.

``docs/observation.md`` holds the table that ``python -m marlgrid.task.attributes`` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.grid import Grid

if TYPE_CHECKING:
    from marlgrid.task.observation import Observation
    from marlgrid.task.record import Named


class Attribute(NamedTuple):
    """One row of the table. ``read`` says how to get the value, or ``derived`` where there is no state to read."""

    size: str
    """Count of the grid that is the length of the vector (``n_line``, ...); empty for a plain number."""
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

_LATER = {
    **_flows("n_shunt", "_shunt_p _shunt_q _shunt_v", "of each shunt"),
    "_shunt_bus": Attribute(
        "n_shunt", int, "busbar", "busbar of each shunt, -1 out", lambda o: o.state.topology.shunt_bus[0], lost=-1
    ),
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

ATTRIBUTES: dict[str, Attribute] = _DATE | _GRID | _DISPATCH | _LATER | _OURS | _DERIVED
"""By name; those in the vector stand in its order, which is Grid2Op's as far as Grid2Op has them."""

VECTOR = tuple(name for name, attribute in ATTRIBUTES.items() if attribute.in_vector)
"""Names of the attributes in the vector."""


def shape(grid: Grid, name: str) -> tuple[int, ...]:
    """Shape of an attribute's value: ``()`` for a number."""
    size = ATTRIBUTES[name].size
    return (getattr(grid, size),) if size else ()


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
