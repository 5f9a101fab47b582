"""The full view of one environment: every attribute of Grid2Op's observation page, and the question "what if?"."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.simulation.action import Action, Commands, joint
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.task.commands import make_action, split_by_zone
from marlgrid.task.reward import values_of

if TYPE_CHECKING:
    from marlgrid.task.task import Task


class Simulated(NamedTuple):
    """What ``Observation.simulate`` found out besides the next observation."""

    reason: np.ndarray
    """(n_zone,) int8 ``Reason``: 0 where the zone's action was accepted."""
    reward: np.ndarray
    """(n_zone,) of the task."""
    outcome: Outcome
    disc_lines: np.ndarray
    """(n_line,) int32 wave of the cascade in which a line tripped, else -1."""


class Observation:
    """One row of a batch, read-only.

    Attributes (``observation.rho``, ...) have Grid2Op's names, units and, after a game over, values: zeros, busbars -1,
    lines out, date and step kept. ``dir(observation)`` lists them. In addition: ``attack_remaining`` (n_line) further
    steps under attack, ``attack_budget``, ``attack_cooldown``, ``disc_lines`` and ``outcome``.
    """

    def __init__(self, task: Task, state: State, row: int = 0) -> None:
        self.task = task
        self.state = state if state.n_env == 1 and row == 0 else take(state, np.array([row]))

    def __getattr__(self, name: str) -> Any:
        if name not in _ATTRIBUTES:
            close = difflib.get_close_matches(name, _ATTRIBUTES, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "; dir() lists the attributes"
            raise AttributeError(f"an observation has no attribute {name!r}{hint}")
        value = _ATTRIBUTES[name](self)
        if isinstance(value, np.ndarray):
            value = _after_game_over(name, value) if self.over else value.view()
            value.flags.writeable = False
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_ATTRIBUTES})

    @property
    def grid(self) -> Grid:
        return self.task.system.grid

    @property
    def outcome(self) -> Outcome:
        return Outcome(int(self.state.outcome[0]))

    @property
    def over(self) -> bool:
        """True after a game over (not after a reached time limit)."""
        return bool(self.state.lost[0])

    @property
    def current_step(self) -> int:
        """Steps made in this episode."""
        return int(self.state.t[0] - self.state.t_start[0])

    @property
    def max_step(self) -> int:
        """Steps of the whole episode."""
        return int(self.state.t_end[0] - self.state.t_start[0])

    @property
    def delta_time(self) -> float:
        """Minutes per step."""
        return self.task.system.delta_time

    @cached_property
    def time_stamp(self) -> datetime:
        """Date and time of the row in force."""
        start = self.task.series.start(int(self.state.scenario[0])).astype("datetime64[s]")
        elapsed = np.timedelta64(round(float(self.state.t[0]) * self.delta_time * 60), "s")
        stamp: datetime = (start + elapsed).item()
        return stamp

    def get_time_stamp(self) -> datetime:
        """Grid2Op's name of ``time_stamp``."""
        return self.time_stamp

    def sub_topology(self, sub_id: int | str) -> np.ndarray:
        """(n_element,) busbars of the elements of a substation, by number or name."""
        names = self.grid.name_sub
        sub = names.index(sub_id) if isinstance(sub_id, str) and sub_id in names else sub_id
        if isinstance(sub, str) or not 0 <= sub < self.grid.n_sub:
            raise ValueError(f"there is no substation {sub_id!r}; give a number below {self.grid.n_sub} or a name")
        topology: np.ndarray = self.topo_vect[self.grid.sub_start[sub] : self.grid.sub_start[sub + 1]]
        return topology

    # ------------------------------------------------------------------ what if
    def simulate(
        self, action: Mapping[str, Any] | Commands | None = None, horizon: int = 1
    ) -> tuple[Observation, Simulated]:
        """The observation after ``action`` if the forecast of ``horizon`` steps ahead comes true (0: as it is now).

        ``action`` is a mapping from agents to elements of their spaces (or commands), a mapping as for ``make_action``,
        commands (each goes to the zone that owns its element), or None for nothing. Attacks in force go on, none
        starts. Raises ValueError beyond the forecasts of the series, and on an episode that is over.
        """
        if self.outcome != Outcome.RUNNING:
            raise ValueError(f"the episode is over ({self.outcome.name}): there is nothing to simulate")
        task = self.task
        asked = self._joint(action)
        after, ruling = simulate(task.system, task.solver, task.series, self.state, asked, horizon)
        reward = values_of(task.reward, task.system, self.state, asked, ruling, after)[0]
        told = Simulated(ruling.reason[0], reward, Outcome(int(after.outcome[0])), after.disc_lines[0])
        return Observation(task, after), told

    def _joint(self, action: Mapping[str, Any] | Commands | None) -> Action:
        system, zones = self.task.system, self.task.zones
        if isinstance(action, Mapping) and set(action) <= set(zones):
            parts = [
                self.task.actions.commands(z, action[agent]) if agent in action else split_by_zone(system, None)[z]
                for z, agent in enumerate(zones)
            ]
            return joint([parts])
        commands = make_action(system, action) if isinstance(action, Mapping) else action
        return joint([split_by_zone(system, commands)])


def _date(part: Callable[[datetime], int]) -> Callable[[Observation], int]:
    return lambda o: part(o.time_stamp)


def _flow(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.flow, name)[0]


def _dispatch(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.dispatch, name)[0]


def _counter(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.counters, name)[0]


def _planned(name: str) -> Callable[[Observation], np.ndarray]:
    return lambda o: getattr(o.state.injections, name)[0]


def _busbar(position: Callable[[Grid], np.ndarray]) -> Callable[[Observation], np.ndarray]:
    return lambda o: o.state.topology.topo_vect[0][position(o.grid)]


def _margin(observation: Observation, up: bool) -> np.ndarray:
    """MW by which each generator can move in one step; 0 for renewables."""
    grid, p = observation.grid, observation.state.flow.gen_p[0]
    room = np.minimum(grid.gen_pmax - p, grid.gen_max_ramp_up) if up else None
    room = np.minimum(p - grid.gen_pmin, grid.gen_max_ramp_down) if room is None else room
    return np.where(grid.gen_renewable, 0.0, np.maximum(room, 0.0))


def _curtailed_mw(observation: Observation) -> np.ndarray:
    grid, state = observation.grid, observation.state
    return np.where(grid.gen_renewable, state.dispatch.p_before_curtail[0] - state.flow.gen_p[0], 0.0)


def _after_game_over(name: str, value: np.ndarray) -> np.ndarray:
    """What Grid2Op shows then."""
    if name in _KEPT:
        return value.copy()
    return np.full_like(value, _OVER.get(name, 0))


_KEPT = ("thermal_limit", "disc_lines", "attack_remaining")
_OVER = {
    "topo_vect": -1,
    "gen_bus": -1,
    "load_bus": -1,
    "storage_bus": -1,
    "line_or_bus": -1,
    "line_ex_bus": -1,
    "_shunt_bus": -1,
    "time_next_maintenance": -1,
    "curtailment_limit": 1,
    "curtailment_limit_effective": 1,
}

_ATTRIBUTES: dict[str, Callable[[Observation], Any]] = {
    "year": _date(lambda d: d.year),
    "month": _date(lambda d: d.month),
    "day": _date(lambda d: d.day),
    "hour_of_day": _date(lambda d: d.hour),
    "minute_of_hour": _date(lambda d: d.minute),
    "day_of_week": _date(lambda d: d.weekday()),
    **{
        name: _flow(name)
        for name in (
            "gen_p", "gen_q", "gen_v", "gen_theta", "load_p", "load_q", "load_v", "load_theta", "p_or", "q_or", "v_or",
            "a_or", "theta_or", "p_ex", "q_ex", "v_ex", "a_ex", "theta_ex", "storage_theta",
        )
    },
    "prod_p": _flow("gen_p"),
    "prod_q": _flow("gen_q"),
    "prod_v": _flow("gen_v"),
    "_shunt_p": _flow("shunt_p"),
    "_shunt_q": _flow("shunt_q"),
    "_shunt_v": _flow("shunt_v"),
    "_shunt_bus": lambda o: o.state.topology.shunt_bus[0],
    "rho": lambda o: o.state.rho[0],
    "thermal_limit": lambda o: o.task.system.thermal_limit,
    "line_status": lambda o: o.state.topology.topo_vect[0][o.grid.line_or_pos_topo_vect] > 0,
    "topo_vect": lambda o: o.state.topology.topo_vect[0],
    "gen_bus": _busbar(lambda g: g.gen_pos_topo_vect),
    "load_bus": _busbar(lambda g: g.load_pos_topo_vect),
    "storage_bus": _busbar(lambda g: g.storage_pos_topo_vect),
    "line_or_bus": _busbar(lambda g: g.line_or_pos_topo_vect),
    "line_ex_bus": _busbar(lambda g: g.line_ex_pos_topo_vect),
    "timestep_overflow": _counter("timestep_overflow"),
    "timestep_protection_engaged": _counter("timestep_protection_engaged"),
    "time_before_cooldown_line": _counter("time_before_cooldown_line"),
    "time_before_cooldown_sub": _counter("time_before_cooldown_sub"),
    "time_next_maintenance": _planned("time_next_maintenance"),
    "duration_next_maintenance": _planned("duration_next_maintenance"),
    "target_dispatch": _dispatch("target"),
    "actual_dispatch": _dispatch("actual"),
    "gen_p_delta": lambda o: o.state.flow.gen_p[0] - o.state.dispatch.setpoint[0],
    "gen_margin_up": lambda o: _margin(o, up=True),
    "gen_margin_down": lambda o: _margin(o, up=False),
    "gen_p_before_curtail": _dispatch("p_before_curtail"),
    "curtailment": lambda o: _curtailed_mw(o) / np.where(o.grid.gen_pmax > 0, o.grid.gen_pmax, 1.0),
    "curtailment_mw": _curtailed_mw,
    "curtailment_limit": _dispatch("curtailment_limit"),
    "curtailment_limit_mw": lambda o: o.state.dispatch.curtailment_limit[0] * o.grid.gen_pmax,
    "curtailment_limit_effective": _dispatch("curtailment_limit_effective"),
    "storage_charge": _dispatch("storage_charge"),
    "storage_power": _dispatch("storage_power"),
    "storage_power_target": _dispatch("storage_power_target"),
    "attack_remaining": lambda o: o.state.attack.remaining[0],
    "attack_budget": lambda o: float(o.state.attack.budget[0]),
    "attack_cooldown": lambda o: int(o.state.attack.cooldown[0]),
    "disc_lines": lambda o: o.state.disc_lines[0],
}  # fmt: skip
