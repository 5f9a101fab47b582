"""Episodes written down step by step, so that any part of one can be played again otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.base import Agent
from experiments.evaluation import Moment, Starts, played
from marlgrid.simulation.action import NO_COMMANDS, Action, Attack, Commands, joint
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.task.opponents.tape import begun
from marlgrid.task.task import Task


@dataclass(frozen=True, eq=False)
class Recorded:
    """One episode. The leading axis of its arrays is time: step k leads from row k of ``states`` to row k + 1."""

    states: State
    """(n_step + 1,) rows."""
    action: Action
    """(n_step,) rows: the joint action that was asked for."""
    attack: Attack
    """(n_step,) rows: the attacks that took place."""
    memories: Any
    """(n_step,) rows: what the team remembered when it acted."""

    @property
    def n_step(self) -> int:
        """Steps played, the one in which the grid was lost included."""
        return self.states.n_env - 1

    @property
    def length(self) -> int:
        """Steps to the time limit."""
        return int(self.states.t_end[0] - self.states.t_start[0])

    @property
    def lost(self) -> bool:
        return bool(self.states.lost[-1])

    @property
    def lasted(self) -> int:
        """Steps survived."""
        return self.n_step - self.lost

    @property
    def outcome(self) -> Outcome:
        return Outcome(int(self.states.outcome[-1]))


def record(task: Task, agent: Agent, starts: Starts) -> list[Recorded]:
    """Plays the episodes to their ends, all as one batch, and writes each of them down.

    Raises ValueError where the opponent is an agent: the team alone is asked.
    """
    if task.opponent_agent:
        raise ValueError("the opponent is an agent here: record a task with a scripted opponent, or with a learned one")
    steps = tqdm(played(task, agent, starts), total=starts.max_steps, unit="step", desc="playing", disable=None)
    return written_down(task, steps)


def written_down(task: Task, moments: Iterable[Moment]) -> list[Recorded]:
    """The episodes of a batch out of all their steps in order, as ``evaluation.played`` gives them."""
    states, memories, asked = [], [], []
    for moment in moments:
        states.append(moment.before.state)
        memories.append(moment.memory)
        asked.append(task.actions.joint([moment.choices[zone] for zone in task.zones]))
    last = moment.after.state
    states.append(last)
    n_step = (last.t - last.t_start).tolist()
    return [_recorded(task, env, states[: k + 1], memories[:k], asked[:k]) for env, k in enumerate(n_step)]


def _recorded(task: Task, env: int, states: list[State], memories: list[Any], asked: list[Action]) -> Recorded:
    """The episode of one environment of a batch."""
    steps = np.arange(len(asked))
    course = in_time(states, env)
    action = joint([[_commands(action, env, zone) for zone in range(task.system.n_zone)] for action in asked])
    attack = begun(task.system, take(course, steps), take(course, steps + 1))
    return Recorded(course, action, attack, in_time(memories, env))


def in_time(records: list[Any], env: int) -> Any:
    """One environment's rows of records of the same form, one after another: time takes the place of the batch."""
    first = records[0]
    if isinstance(first, dict):
        return {key: in_time([record[key] for record in records], env) for key in first}
    if isinstance(first, tuple):
        parts = [in_time(list(fields), env) for fields in zip(*records, strict=True)]
        # the states that a step writes know their block of memory, which these rows are not in
        plain = State if isinstance(first, State) else type(first)
        return plain(*parts) if hasattr(first, "_fields") else tuple(parts)
    return np.concatenate([record[env : env + 1] for record in records])


def _commands(action: Action, env: int, zone: int) -> Commands:
    first, last = action.first[env, zone], action.last[env, zone]
    return Commands(*(column[first:last] for column in action.commands)) if first < last else NO_COMMANDS
