"""The full view of one environment: every attribute of Grid2Op's observation page, and the question "what if?"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import Injections, TimeSeries
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.simulation.step import switched
from marlgrid.task.allowance import Allowance
from marlgrid.task.attributes import ATTRIBUTES, Attribute, size_of
from marlgrid.task.foresight import asked, foreseen, horizons, own_forecast, simulate
from marlgrid.task.noise import STREAM_FORESEEN, STREAM_NOISE, Noise
from marlgrid.task.record import Record
from marlgrid.task.reward_values import values_of
from marlgrid.task.simulator import Simulator
from marlgrid.task.way_back import way_back

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


class ForecastInjections(NamedTuple):
    """What is expected at one step."""

    gen_p: np.ndarray
    """(n_gen,) MW."""
    gen_v: np.ndarray
    """(n_gen,) kV."""
    load_p: np.ndarray
    """(n_load,) MW."""
    load_q: np.ndarray
    """(n_load,) MVAr."""


class ForecastArrays(NamedTuple):
    """The present row and one per forecast horizon."""

    load_p: np.ndarray
    """(1 + n_horizon, n_load) MW."""
    load_q: np.ndarray
    """(1 + n_horizon, n_load) MVAr."""
    gen_p: np.ndarray
    """(1 + n_horizon, n_gen) MW."""
    gen_v: np.ndarray
    """(1 + n_horizon, n_gen) kV."""
    maintenance: np.ndarray
    """(1 + n_horizon, n_line) bool: the line is in maintenance."""


class Observation(Record):
    """One row of a batch, read-only.

    Attributes (``observation.rho``, ...) have Grid2Op's names, units and, after a game over, values: zeros, busbars -1,
    lines out, date and step kept. ``attributes.ATTRIBUTES`` lists them with size, unit and meaning.
    """

    task: Task
    state: State
    play: Callable[[Task, State], Any] | None
    """Makes an environment of the caller's kind out of a task and the state to start from."""

    def __init__(
        self,
        task: Task,
        state: State,
        row: int = 0,
        play: Callable[[Task, State], Any] | None = None,
        noise: Noise | None = None,
        stream: int = STREAM_NOISE,
        allowance: Allowance | None = None,
    ) -> None:
        """Row ``row`` of a batch; with ``noise``, as the sensors have it: its errors are drawn from ``stream``.

        ``allowance`` counts the calls of ``simulate``; without one there may be any number.
        """
        super().__init__(task.system, {})
        self.task, self.play, self.noise, self.stream, self.allowance = task, play, noise, stream, allowance
        self.state = state if state.n_env == 1 and row == 0 else take(state, np.array([row]))

    def _value(self, name: str) -> Any:
        if self.noise is None or self.over:
            return self._true(name)
        # what follows from a measurement follows from the true one, as in Grid2Op
        return self.noise.measured(name, self.exact._true(name), self._draws)  # noqa: SLF001 (the same class)

    @cached_property
    def exact(self) -> Observation:
        """The same without noise."""
        return (
            self if self.noise is None else Observation(self.task, self.state, play=self.play, allowance=self.allowance)
        )

    @cached_property
    def _draws(self) -> np.ndarray:
        """(n_draw,) of the sensors' errors."""
        draws: np.ndarray = self.noise.draws(self.state.seed, self.state.t, self.stream)[0]  # type: ignore[union-attr]
        return draws

    def _true(self, name: str) -> Any:
        attribute = ATTRIBUTES[name]
        if self.over and attribute.lost is not None:
            return _lost(self.system, attribute)
        return super()._value(name) if attribute.read is None else attribute.read(self)

    @property
    def outcome(self) -> Outcome:
        return Outcome(int(self.state.outcome[0]))

    @property
    def over(self) -> bool:
        """True after a game over (not after a reached time limit)."""
        return bool(self.state.lost[0])

    @cached_property
    def time_stamp(self) -> datetime:
        """Date and time of the row in force."""
        start = self.task.series.start(int(self.state.scenario[0])).astype("datetime64[s]")
        elapsed = np.timedelta64(round(float(self.state.t[0]) * self.delta_time * 60), "s")
        stamp: datetime = (start + elapsed).item()
        return stamp

    # ------------------------------------------------------------------ what if
    def simulate(
        self, action: Mapping[str, Any] | Commands | None = None, horizon: int = 1
    ) -> tuple[Observation, Simulated]:
        """The observation after ``action`` if the forecast of ``horizon`` steps ahead comes true (0: as it is now).

        ``action`` is a mapping from agents to elements of their spaces (or commands), a mapping as for ``make_action``,
        commands (each goes to the zone that owns its element), or None for nothing. Attacks in force go on, none
        starts. The answer can be asked in turn: it foresees what this observation does, see ``foresight.simulate``.
        Raises ValueError beyond the forecasts, and on an episode that is over; SimulationLimitError where the
        parameters limit the calls.
        """
        self._running("simulate")
        task = self.task
        joint = asked(task, action)
        if self.allowance is not None:
            self.allowance.spend()
        after, ruling, series = simulate(task.system, task.foreseeing, task.series, self.state, joint, horizon)
        reward = values_of(task.reward, task.system, self.state, joint, ruling, after)[0]
        told = Simulated(ruling.reason[0], reward, Outcome(int(after.outcome[0])), after.disc_lines[0])
        ahead = replace(task, series=series)
        foreseen_as = Observation(
            ahead, after, play=self.play, noise=self.noise, stream=STREAM_FORESEEN, allowance=self.allowance
        )
        return foreseen_as, told

    def add_act(self, action: Mapping[str, Any] | Commands | None) -> Record:
        """The topology after ``action`` (as for ``simulate``), without rules, outages, protections or power flow.

        Only ``topo_vect`` and what follows from it is known in the result: statuses, busbars, ``connectivity_matrix``,
        ``bus_connectivity_matrix``. A line that is connected returns to its last busbars (in Grid2Op: to busbar 1).
        Raises ValueError on an episode that is over.
        """
        self._running("act on")
        topology = switched(self.system, self.state, asked(self.task, action)).topology
        known = {"topo_vect": topology.topo_vect[0], "_shunt_bus": self._shunt_bus, "outcome": int(Outcome.RUNNING),
                 "thermal_limit": self.thermal_limit}  # fmt: skip
        return Record(self.system, known)

    __add__ = add_act

    def _running(self, verb: str) -> None:
        if self.outcome != Outcome.RUNNING:
            raise ValueError(f"the episode is over ({self.outcome.name}): there is nothing to {verb}")

    # ------------------------------------------------------------------ other grids
    def get_simulator(self) -> Simulator:
        """Where chains of actions and injections lead, by power flows alone: see ``simulator.Simulator``."""
        self._running("predict from")
        return Simulator(self)

    def get_back_to_ref_state(self, storage_setpoint: float = 0.5) -> dict[str, list[Commands]]:
        """The actions that lead back to the reference topology without dispatch, by kind, see ``way_back``."""
        self._running("lead back from")
        return way_back(self, self.task.make_action, storage_setpoint)

    # ------------------------------------------------------------------ forecasts
    def get_forecasted_inj(self, horizon: int = 1) -> ForecastInjections:
        """Schedules, voltage set points and demand expected ``horizon`` steps ahead; 0: as they are now.

        Raises ValueError beyond the forecasts.
        """
        if horizon == 0:
            return ForecastInjections(self.gen_p, self.gen_v, self.load_p, self.load_q)
        ahead = self._ahead(horizon)
        return ForecastInjections(ahead.gen_p[0], ahead.gen_v[0], ahead.load_p[0], ahead.load_q[0])

    def get_forecast_arrays(self) -> ForecastArrays:
        """All that ``get_forecasted_inj`` gives, one row per horizon from 0 on, and the planned maintenance."""
        ahead = range(horizons(self.task.series, self.state) + 1)
        gen_p, gen_v, load_p, load_q = (
            np.stack(rows) for rows in zip(*map(self.get_forecasted_inj, ahead), strict=True)
        )
        planned = [self.time_next_maintenance] + [self._ahead(h).time_next_maintenance[0] for h in ahead if h]
        return ForecastArrays(load_p, load_q, gen_p, gen_v, np.stack(planned) == 0)

    def _ahead(self, horizon: int) -> Injections:
        return foreseen(self.task.series, self.state).forecast(self.state.scenario, self.state.t, horizon)

    def get_forecast_env(self) -> Any:
        """An environment in which the forecasts come true, of the kind that gave this observation.

        Each reset goes back to the present, an episode lasts as many steps as are foreseen; attacks in force go on and
        no opponent plays. Raises ValueError without forecasts, on an episode that is over, and for an observation that
        no environment gave.
        """
        self._running("play on")
        left = horizons(self.task.series, self.state)
        if left == 0:
            raise ValueError("nothing is foreseen here: the series has no forecast, or all its horizons are used up")
        end = np.minimum(self.state.t_end, self.state.t + np.int32(left))
        return self._playable(foreseen(self.task.series, self.state), self.state._replace(t_end=end))

    def get_env_from_external_forecasts(
        self,
        load_p: np.ndarray | None = None,
        load_q: np.ndarray | None = None,
        gen_p: np.ndarray | None = None,
        gen_v: np.ndarray | None = None,
        with_maintenance: bool = True,
    ) -> Any:
        """As ``get_forecast_env``, on forecasts of one's own: (n_step, n_element) each, MW, MVAr and kV.

        What is None stays as it is now. Planned maintenance takes place unless ``with_maintenance`` is False. Raises
        ValueError for tables of unequal or wrong shapes and for numbers that are not finite.
        """
        self._running("play on")
        given = {"load_p": load_p, "load_q": load_q, "gen_p": gen_p, "gen_v": gen_v}
        return self._playable(*own_forecast(self.system, self.task.series, self.state, given, with_maintenance))

    def _playable(self, series: TimeSeries, start: State) -> Any:
        if self.play is None:
            raise ValueError("only an observation of an environment's observe_grid() can be played on")
        return self.play(
            replace(self.task, solver=self.task.foreseeing, series=series, opponent=None, opponent_agent=False), start
        )


def _lost(system: System, attribute: Attribute) -> Any:
    """What Grid2Op shows after a game over."""
    dtype = np.int32 if attribute.dtype is int else attribute.dtype
    return np.full(size_of(system, attribute), attribute.lost, dtype=dtype)
