"""What changes from step to step: nested records of arrays, each with a leading ``n_env`` axis.

A step leaves the state it was given as it is and writes the next one into memory of its own (``frame``), so a snapshot
is the state itself and "what if" is the same row repeated. The stages that write each field are named below.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np

from marlgrid.model.time_series import Injections
from marlgrid.powerflow.base import Flow


class Outcome(IntEnum):
    """How an episode stands: running, ended by its time limit, or lost, and why."""

    RUNNING = 0
    TIME_LIMIT = 1
    DIVERGED = 2
    """No solution of the power flow."""
    ISLANDED = 3
    """A part of the grid in use is cut off from the slack generator."""
    LOAD_OR_GEN_DISCONNECTED = 4
    """A load, a generator, or a storage that exchanges power, is on no busbar."""
    DISPATCH_INFEASIBLE = 5
    """No setting of the generators within limits and ramps balances what storage and curtailment ask."""
    GEN_OUT_OF_LIMITS = 6
    """A generator broke its limits or ramps, where the parameters end the episode then."""


# Plain numbers: comparing an array with a member of an enum costs NumPy four times as long.
_RUNNING, _TIME_LIMIT = int(Outcome.RUNNING), int(Outcome.TIME_LIMIT)


class Topology(NamedTuple):
    """Writer: ``topology`` (``switch`` what is asked, ``settle`` the memory), ``protections`` (lines that trip)."""

    topo_vect: Annotated[np.ndarray, "place", "i4"]
    """(n_env, dim_topo) int32: -1 or the local busbar 1, 2, ..."""
    last_bus: Annotated[np.ndarray, "place", "i4"]
    """(n_env, dim_topo) int32: busbar of the last step in which the element was connected."""
    shunt_bus: Annotated[np.ndarray, "shunt", "i4"]
    """(n_env, n_shunt) int32."""


class Counters(NamedTuple):
    """Writer: ``rules.tick``. All int32, in steps."""

    time_before_cooldown_line: Annotated[np.ndarray, "line", "i4"]
    time_before_cooldown_sub: Annotated[np.ndarray, "sub", "i4"]
    timestep_overflow: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) consecutive steps above the thermal limit."""
    timestep_protection_engaged: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) consecutive steps above the soft threshold: what trips a line."""


class Dispatch(NamedTuple):
    """Writer: ``dispatch.schedule``. MW, MWh or ratios; one entry per generator unless said otherwise."""

    target: Annotated[np.ndarray, "gen", "f8"]
    """Redispatch the agents asked for, summed over the episode."""
    modified: Annotated[np.ndarray, "gen", "?"]
    """bool: redispatched at least once in the episode."""
    actual: Annotated[np.ndarray, "gen", "f8"]
    """Redispatch in force."""
    scheduled_p: Annotated[np.ndarray, "gen", "f8"]
    """Time series after curtailment."""
    setpoint: Annotated[np.ndarray, "gen", "f8"]
    """scheduled_p + actual: what is sent to the grid."""
    p_before_curtail: Annotated[np.ndarray, "gen", "f8"]
    """Renewable production of the time series; 0 for other generators."""
    curtailment_limit: Annotated[np.ndarray, "gen", "f8"]
    """Cap asked for, as a ratio of pmax; 1 where there is none."""
    curtailment_limit_effective: Annotated[np.ndarray, "gen", "f8"]
    """Cap in force: weaker than asked where the grid could not follow at once."""
    curtailed: Annotated[np.ndarray, "env", "f8"]
    """(n_env,) MW that curtailment took off the schedule in this step (>= 0)."""
    storage_charge: Annotated[np.ndarray, "storage", "f8"]
    """(n_env, n_storage) MWh."""
    storage_power_target: Annotated[np.ndarray, "storage", "f8"]
    """(n_env, n_storage) MW asked for, charging positive."""
    storage_power: Annotated[np.ndarray, "storage", "f8"]
    """(n_env, n_storage) MW realised."""


class Commitment(NamedTuple):
    """Writer: ``commitment.start_and_stop``. (n_env, n_gen) int32 steps, counted where minimum times are enforced."""

    uptime: Annotated[np.ndarray, "gen", "i4"]
    """Since the generator started, or the episode; -1 while it stands still."""
    downtime: Annotated[np.ndarray, "gen", "i4"]
    """Since it stopped, or the episode began; -1 while it runs."""


class AttackState(NamedTuple):
    """Writer: ``rules.tick``."""

    remaining: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 further steps under attack: D - 1 after the first step of an attack of D."""
    cooldown: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) int32 steps before the next attack may start."""
    budget: Annotated[np.ndarray, "env", "f8"]
    """(n_env,) float64 line-steps."""
    starts: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) int32 attacks started in the episode."""


class AlarmState(NamedTuple):
    """Writer: ``attention.register``. Most names are those of the observation's attributes."""

    attention_budget: Annotated[np.ndarray, "env", "f4"]
    """(n_env,) float32 alarms' costs are taken from it."""
    is_alarm_illegal: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: an alarm of this step could not be paid."""
    time_since_last_alarm: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) int32 steps since any alarm was raised, -1 before the first."""
    last_alarm: Annotated[np.ndarray, "alarm", "i4"]
    """(n_env, dim_alarms) int32 step of the episode in which the area's last alarm was raised, -1 without one."""
    was_alarm_used_after_game_over: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: an alarm was raised in time for the game over."""
    raised: Annotated[np.ndarray, "alarm_memory alarm", "?"]
    """(n_env, n, dim_alarms) bool: the alarms of the last n steps, those of step k of the episode at k modulo n."""


class AlertState(NamedTuple):
    """Writer: ``attention.register``. (n_env, dim_alerts) int32 unless said otherwise; -1 stands for never."""

    active_alert: Annotated[np.ndarray, "alert", "?"]
    """bool: alerted to in this step."""
    time_since_last_alert: Annotated[np.ndarray, "alert", "i4"]
    alert_duration: Annotated[np.ndarray, "alert", "i4"]
    """Consecutive steps, this one included."""
    total_number_of_alert: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) alerts of the episode, one for each line and step."""
    time_since_last_attack: Annotated[np.ndarray, "alert", "i4"]
    """Steps since an attack began: 0 in its first step."""
    attack_under_alert: Annotated[np.ndarray, "alert", "i4"]
    """1 or -1: an attack began within the window, with or without alert; 0: none did."""
    was_alert_used_after_attack: Annotated[np.ndarray, "alert", "i4"]
    """1 or -1: alert or silence at an attack proved right or wrong in this step; 0: nothing to judge."""
    attacks: Annotated[np.ndarray, "alert_memory alert", "i1"]
    """(n_env, n, dim_alerts) int8: attacks that began in the last n steps, coded and kept like the two above."""
    attacked: Annotated[np.ndarray, "alert", "?"]
    """bool: under attack in this step."""
    attacked_in_series: Annotated[np.ndarray, "alert", "?"]
    """bool: attacked since the last step without any attack on the grid."""


class Attacked(NamedTuple):
    """What was under attack in the step just taken: D in the first step of an attack of D, 1 in its last.

    Writer: ``substations.hold``.
    """

    line: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 steps, the one just taken included."""
    sub: Annotated[np.ndarray, "sub", "i4"]
    """(n_env, n_sub) int32 likewise."""
    bus: Annotated[np.ndarray, "place", "i4"]
    """(n_env, dim_topo) int32 busbar on which an attack on its substation holds the element, 0 where none does."""
    sub_started: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool: an attack on a substation started."""


class State(NamedTuple):
    """A batch of episodes. ``seed``, ``scenario``, ``t_start``, ``t_end``, ``thermal_limit`` are fixed at the start."""

    seed: Annotated[np.ndarray, "env", "i8"]
    """(n_env,) int64: with scenario and t, all randomness of the episode follows from it."""
    scenario: Annotated[np.ndarray, "env", "i8"]
    """(n_env,) int64."""
    t: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) int32 row of the time series in force. Writer: ``step``."""
    t_start: Annotated[np.ndarray, "env", "i4"]
    t_end: Annotated[np.ndarray, "env", "i4"]
    """(n_env,) int32 first row, and row at which the time limit ends the episode."""
    outcome: Annotated[np.ndarray, "env", "i1"]
    """(n_env,) int8 ``Outcome``. Writers: the stage that finds the end."""
    injections: Injections
    """Writer: ``step``."""
    topology: Topology
    counters: Counters
    dispatch: Dispatch
    commitment: Commitment
    attack: AttackState
    alarm: AlarmState
    alert: AlertState
    attacked: Attacked
    flow: Flow
    """Writer: ``protections.solve``."""
    disc_lines: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32: wave of the cascade in which this step tripped the line, else -1. Writer: as ``flow``."""
    rho: Annotated[np.ndarray, "line", "f8"]
    """(n_env, n_line) current at the origin over the thermal limit. Writer: ``step.conclude``."""
    thermal_limit: Annotated[np.ndarray, "line", "f8"]
    """(n_env, n_line) A, of this episode."""

    @property
    def n_env(self) -> int:
        return len(self.t)

    @property
    def running(self) -> np.ndarray:
        """(n_env,) bool."""
        return self.outcome == _RUNNING

    @property
    def out_of_time(self) -> np.ndarray:
        """(n_env,) bool: ended by the time limit."""
        return self.outcome == _TIME_LIMIT

    @property
    def lost(self) -> np.ndarray:
        """(n_env,) bool: a game over, not a reached time limit."""
        return self.outcome > _TIME_LIMIT


Rows = np.ndarray | slice
ALL = slice(None)
Record = TypeVar("Record")
"""A state, an episode, any nested record of arrays with a leading ``n_env`` axis."""


def take(state: Record, rows: Rows) -> Record:
    """The rows of a batch, repeated or reordered as asked (``np.zeros(k, int)`` forks the first into k)."""
    memory = getattr(state, "memory", None)
    if memory is not None:
        return memory.taken(rows)
    if isinstance(state, tuple):
        return _like(state, (take(part, rows) for part in state))
    return state[rows]  # type: ignore[index]


def put(state: Record, rows: Rows, part: Record, others: Rows = ALL) -> Record:
    """The batch with some rows replaced by rows of another, as many, by default all."""
    if isinstance(state, np.ndarray):
        whole = state.copy()
        whole[rows] = part[others]  # type: ignore[index]
        return whole
    if not state:  # somebody's memory of nothing
        return state
    memory = getattr(state, "memory", None)
    if memory is not None:
        return memory.replaced(rows, part, others)
    return _like(state, [put(old, rows, new, others) for old, new in zip(state, part, strict=True)])  # type: ignore


def _like(record: Any, parts: Iterable[Any]) -> Any:
    """A tuple of the same kind."""
    return type(record)(*parts) if hasattr(record, "_fields") else tuple(parts)
