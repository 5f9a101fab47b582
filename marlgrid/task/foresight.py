"""What would happen: the step on the forecast of any horizon, as the agents may ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from marlgrid.model.datasets.arrays import ArraySeries
from marlgrid.model.foreseen import Foreseen
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation import forecast
from marlgrid.simulation.action import Action, Commands, joint
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.commands import make_action, split_by_zone

if TYPE_CHECKING:
    from marlgrid.task.task import Task


def foreseen(series: TimeSeries, state: State) -> Foreseen:
    """The series as it is foreseen at the state's row; one that is foreseen already stays as it is."""
    return series if isinstance(series, Foreseen) else Foreseen(series, int(state.t[0]))


def horizons(series: TimeSeries, state: State) -> int:
    """How many steps ahead of the state forecasts reach."""
    return series.horizons_left(int(state.t[0])) if isinstance(series, Foreseen) else series.n_horizon


def simulate(
    system: System, solver: PowerFlow, series: TimeSeries, state: State, action: Action, horizon: int = 1
) -> tuple[State, Ruling, Foreseen]:
    """The state after ``action`` taken ``horizon`` steps ahead, the ruling, and the series as foreseen from there on.

    Nothing is simulated in between: counters run on by ``horizon - 1`` steps, lines above a limit being taken to stay
    above it, and planned maintenance takes place. Whatever the horizon, the state is one step on (Grid2Op's
    ``simulate``), so that answers can be asked again: of the forecasts issued at the first state, never of later ones.
    Raises ValueError for a horizon that is not foreseen.
    """
    known = foreseen(series, state)
    left = horizons(known, state)
    if not 0 <= horizon <= left:
        raise ValueError(f"no forecast {horizon} steps ahead: give a horizon from 0 to {left}")
    later = waited(system, state, horizon - 1) if horizon > 1 else state
    after, ruling = forecast.simulate(system, solver, known, later, action, horizon)
    return after, ruling, known.clock_ahead(horizon - 1)


def waited(system: System, state: State, n_step: int) -> State:
    """The state with its counters ``n_step`` steps further on, everything else as it is."""
    counters, remaining = state.counters, state.attack.remaining
    hot, engaged = state.rho > 1.0, state.rho > system.parameters.soft_overflow_threshold
    step = np.int32(n_step)
    return state._replace(
        counters=counters._replace(
            time_before_cooldown_line=np.maximum(counters.time_before_cooldown_line - step, 0),
            time_before_cooldown_sub=np.maximum(counters.time_before_cooldown_sub - step, 0),
            timestep_overflow=counters.timestep_overflow + step * hot,
            timestep_protection_engaged=counters.timestep_protection_engaged + step * engaged,
        ),
        attack=state.attack._replace(remaining=np.maximum(remaining - step, 0)),
    )


def asked(task: Task, action: Mapping[str, Any] | Commands | None) -> Action:
    """The joint action (of one environment) of a mapping from agents to elements of their spaces, or of commands or a
    mapping as for ``make_action``, each part given to the zone that owns its element; None is nothing."""
    system, zones = task.system, task.zones
    if isinstance(action, Mapping) and set(action) <= set(zones):
        nothing = split_by_zone(system, None)
        parts = [task.actions.commands(z, action[a]) if a in action else nothing[z] for z, a in enumerate(zones)]
        return joint([parts])
    commands = make_action(system, action) if isinstance(action, Mapping) else action
    return joint([split_by_zone(system, commands)])


def own_forecast(
    system: System,
    series: TimeSeries,
    state: State,
    given: Mapping[str, np.ndarray | None],
    with_maintenance: bool,
) -> tuple[TimeSeries, State]:
    """A series that starts with the state's injections and goes on with the given tables, and the state at its row 0.

    ``given`` has load_p, load_q, gen_p and gen_v, (n_step, n_element) or None to stay as they are. Planned maintenance
    and outages in force go on. Raises ValueError for shapes and numbers that are wrong.
    """
    lengths = {name: len(table) for name, table in given.items() if table is not None}
    if not lengths or len(set(lengths.values())) > 1:
        raise ValueError(f"forecasts of {lengths or 'no'} steps were given; give at least one table, all equally long")
    n_step = next(iter(lengths.values()))
    now, tables = state.injections, {}
    for name, table in given.items():
        present = getattr(now, name)
        rows = np.repeat(present, n_step, axis=0) if table is None else np.asarray(table, dtype=np.float64)
        if rows.shape != (n_step, present.shape[1]):
            raise ValueError(f"{name} has shape {rows.shape}, give {(n_step, present.shape[1])}")
        tables[_TABLES[name]] = np.concatenate([present, rows])
    row = np.arange(n_step + 1)[:, None]
    begin, length = now.time_next_maintenance, now.duration_next_maintenance
    if with_maintenance:
        tables["maintenance"] = (begin >= 0) & (row >= begin) & (row < begin + length)
    tables["hazards"] = row < now.hazard_duration
    moment = series.start(int(state.scenario[0])).astype("datetime64[s]") + np.timedelta64(
        round(float(state.t[0]) * series.delta_time * 60), "s"
    )
    own = ArraySeries(system.grid, [tables], delta_time=series.delta_time, n_horizon=n_step, start=moment)
    zero = np.zeros_like(state.t)
    return own, state._replace(
        scenario=zero.astype(np.int64), t=zero, t_start=state.t_start - state.t, t_end=zero + np.int32(n_step)
    )


_TABLES = {"load_p": "load_p", "load_q": "load_q", "gen_p": "prod_p", "gen_v": "prod_v"}
"""Names of the tables of a series."""
