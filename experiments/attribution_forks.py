"""A recorded episode played again with something changed: any number of such forks as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from agents.base import Agent, rows_of
from experiments.attribution_record import Recorded
from experiments.attribution_series import SparedSeries
from marlgrid.simulation.action import Action, Attack, SubstationAttack, concatenate
from marlgrid.simulation.state import State, take
from marlgrid.simulation.step import step
from marlgrid.task.accounts import zero_totals
from marlgrid.task.menu import Table
from marlgrid.task.task import Episode, Task

CHUNK = 2048
"""Forks played in one batch: bounds the memory, not the result."""
UNLIMITED = 1e9
"""Thermal limit in A of a line that must not trip."""


class What(IntEnum):
    """What a change is about, and what its number counts."""

    LINE_ATTACK = 0
    """line; the attack does not start."""
    SUB_ATTACK = 1
    """substation; likewise."""
    OUTAGE = 2
    """line; maintenance or hazard do not take it out before row ``value`` of the series."""
    ACTION = 3
    """zone; plays entry ``value`` of the table of ready actions instead, or nothing (-1)."""
    TRIP = 4
    """line; no overload trips it from this step on."""


class Change(NamedTuple):
    """One thing that is otherwise in a fork."""

    what: What
    step: int
    number: int
    value: int = -1


class Forks(NamedTuple):
    """How long each fork lasted."""

    lasted: np.ndarray
    """(n,) steps survived since the start of the episode."""
    completed: np.ndarray
    """(n,) bool: the time limit was reached."""


def replay(
    task: Task,
    recorded: Recorded,
    forks: Sequence[Sequence[Change]],
    agent: Agent | None = None,
    ready: Table | None = None,
    until: int | None = None,
) -> Forks:
    """Plays forks of an episode, each from the first step that it changes, to their ends.

    Open loop (``agent`` None): the zones play what was recorded. Closed loop: the team ``agent`` decides anew, with the
    memory that it had. Attacks are those that were recorded, where the rules still allow them. After the end of the
    record nobody attacks, and in the open loop nobody acts. ``ready`` is the table of actions that changes refer to;
    ``until`` ends all forks after so many steps of the episode.
    """
    played = [
        _played(task, recorded, forks[at : at + CHUNK], agent, ready, until) for at in range(0, len(forks), CHUNK)
    ]
    if not played:
        return Forks(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool))
    return Forks(*(np.concatenate(column) for column in zip(*played, strict=True)))


def _played(
    task: Task,
    recorded: Recorded,
    forks: Sequence[Sequence[Change]],
    agent: Agent | None,
    ready: Table | None,
    until: int | None,
) -> Forks:
    changes = np.array([(fork, *change) for fork, listed in enumerate(forks) for change in listed], dtype=np.int64)
    clock = np.array([min(change.step for change in listed) for listed in forks])
    series = SparedSeries(task.series)
    state = _spared(take(recorded.states, clock), changes, series)
    driven = series if len(_due(changes, What.OUTAGE)[0]) else task.series  # which is faster by itself
    if until is not None:
        state = state._replace(t_end=np.minimum(state.t_end, state.t_start + until).astype(np.int32))
    team = None if agent is None else _Team(replace(task, series=series), agent, rows_of(recorded.memories, clock))
    length = state.t_end - state.t_start
    while state.running.any():
        due = changes[changes[:, 2] == clock[changes[:, 0]]]
        state = _unlimited(state, due)
        action = _recorded_action(recorded, clock) if team is None else team.act(state, series)
        action = _replaced(action, due, ready)
        attack = _recorded_attack(task, recorded, clock, due)
        state, _ = step(task.system, task.solver, driven, state, action, attack)
        clock = clock + 1
    lasted = state.t - state.t_start - state.lost
    return Forks(lasted.astype(np.int64), state.out_of_time & (length >= recorded.length))


class _Team:
    """The defenders, who see each fork as if it were an episode of its own."""

    def __init__(self, task: Task, agent: Agent, memory: Any) -> None:
        self.task, self.agent, self.memory = task, agent, memory

    def act(self, state: State, series: SparedSeries) -> Action:
        totals = zero_totals(state.n_env, self.task.system.n_zone)
        # observations look up the calendar of the scenario, and only the real ones have one there
        outputs = self.task.look(Episode(state._replace(scenario=series.real(state.scenario)), (), totals))
        choices, self.memory = self.agent.act(self.task, Episode(state, (), totals), outputs, self.memory)
        return self.task.actions.joint([choices[zone] for zone in self.task.zones])


# ---------------------------------------------------------------------------------------------------- what is changed
def _due(changes: np.ndarray, what: What) -> np.ndarray:
    """(3, n) fork, number and value of the changes of a kind."""
    return changes[changes[:, 1] == what][:, [0, 3, 4]].T


def _spared(state: State, changes: np.ndarray, series: SparedSeries) -> State:
    """With scenarios of their own for the forks in which outages do not happen."""
    fork, line, until = _due(changes, What.OUTAGE)
    scenario = state.scenario.copy()
    for number in np.unique(fork).tolist():
        mine = fork == number
        outages = list(zip(line[mine].tolist(), until[mine].tolist(), strict=True))
        scenario[number] = series.add(int(scenario[number]), outages)
    return state._replace(scenario=scenario)


def _unlimited(state: State, due: np.ndarray) -> State:
    fork, line, _ = _due(due, What.TRIP)
    if len(fork) == 0:
        return state
    limit = state.thermal_limit.copy()
    limit[fork, line] = UNLIMITED
    return State(*state)._replace(thermal_limit=limit)


def _replaced(action: Action, due: np.ndarray, ready: Table | None) -> Action:
    fork, zone, entry = _due(due, What.ACTION)
    if len(fork) == 0:
        return action
    commands, first, last = action.commands, action.first.copy(), action.last.copy()
    first[fork, zone] = last[fork, zone] = 0
    if ready is not None:
        offset = len(commands.kind)
        commands = concatenate([commands, ready.commands])
        some = entry >= 0
        fork, zone, entry = fork[some], zone[some], entry[some]
        first[fork, zone], last[fork, zone] = offset + ready.start[entry], offset + ready.start[entry + 1]
    return Action(commands, first, last)


def _recorded_action(recorded: Recorded, clock: np.ndarray) -> Action:
    past = (clock >= recorded.n_step)[:, None]
    row = np.minimum(clock, recorded.n_step - 1)
    action = recorded.action
    return Action(action.commands, *(np.where(past, 0, bound[row]).astype(np.int32) for bound in action[1:]))


def _recorded_attack(task: Task, recorded: Recorded, clock: np.ndarray, due: np.ndarray) -> Attack:
    past = (clock >= recorded.n_step)[:, None]
    row = np.minimum(clock, recorded.n_step - 1)
    duration = np.where(past, 0, recorded.attack.duration[row]).astype(np.int32)
    fork, line, _ = _due(due, What.LINE_ATTACK)
    duration[fork, line] = 0
    if recorded.attack.subs is None:
        return Attack(duration)
    subs = SubstationAttack(*(np.where(past, 0, array[row]).astype(np.int32) for array in recorded.attack.subs))
    fork, sub, _ = _due(due, What.SUB_ATTACK)
    subs.duration[fork, sub] = 0
    held = subs.duration[:, task.system.grid.topology_layout.sub] > 0
    return Attack(duration, SubstationAttack(subs.duration, np.where(held, subs.bus, 0).astype(np.int32)))
