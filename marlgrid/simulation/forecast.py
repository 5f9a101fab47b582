"""What would happen: the step on forecast injections, for one or many candidate actions at once."""

from __future__ import annotations

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation.action import Action, no_attack
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.simulation.step import advance


def simulate(
    system: System, solver: PowerFlow, series: TimeSeries, state: State, action: Action, horizon: int = 1
) -> tuple[State, Ruling]:
    """The state after ``action`` if the forecast of ``horizon`` comes true: attacks in force go on, none starts.

    Fork a state into one row per candidate (``take(state, np.zeros(k, int))``) to compare k actions in one call.
    Horizon 0 keeps the present injections. Raises ValueError beyond the forecasts of the series.
    """
    if not 0 <= horizon <= series.n_horizon:
        raise ValueError(f"no forecast {horizon} steps ahead: give a horizon from 0 to {series.n_horizon}")
    expected = series.forecast(state.scenario, state.t, horizon) if horizon else state.injections
    return advance(system, solver, state, expected, action, no_attack(state.n_env, system.grid.n_line))
