"""What may have caused a blackout: everything that happened to the grid in a recorded episode."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from experiments.attribution_forks import Change, What
from experiments.attribution_record import Recorded
from marlgrid.simulation.action import Commands
from marlgrid.task.commands import in_words
from marlgrid.task.task import Task


class Kind(StrEnum):
    """Kinds of causes, in the order in which they take effect within a step."""

    ATTACK = "attack"
    OUTAGE = "outage"
    """Maintenance, or a hazard."""
    ACTION = "action"
    TRIP = "trip"


class Cause(NamedTuple):
    """One thing that happened."""

    kind: Kind
    step: int
    """Step of the episode in which it began; the first is 0."""
    words: str
    removal: Change
    """What takes it out of a replay."""


def causes(task: Task, recorded: Recorded) -> list[Cause]:
    """In the order of time: attacks, outages that began, actions of zones, trips of lines by the protections."""
    found = [
        *_attacks(task, recorded),
        *_outages(task, recorded),
        *_actions(task, recorded),
        *_trips(task, recorded),
    ]
    order = list(Kind)
    return sorted(found, key=lambda cause: (cause.step, order.index(cause.kind)))


def _attacks(task: Task, recorded: Recorded) -> Iterator[Cause]:
    grid, attack = task.system.grid, recorded.attack
    for step, line in np.argwhere(attack.duration).tolist():
        words = f"the attack on line {grid.name_line[line]} at step {step} for {attack.duration[step, line]} steps"
        yield Cause(Kind.ATTACK, step, words, Change(What.LINE_ATTACK, step, line))
    if attack.subs is not None:
        for step, sub in np.argwhere(attack.subs.duration).tolist():
            duration = attack.subs.duration[step, sub]
            words = f"the attack on substation {grid.name_sub[sub]} at step {step} for {duration} steps"
            yield Cause(Kind.ATTACK, step, words, Change(What.SUB_ATTACK, step, sub))


def _outages(task: Task, recorded: Recorded) -> Iterator[Cause]:
    """Those that began after the start: a grid that starts with a line out is the task, not a cause."""
    injections = recorded.states.injections
    planned = injections.time_next_maintenance == 0
    out = planned | (injections.hazard_duration > 0)
    left = np.maximum(np.where(planned, injections.duration_next_maintenance, 0), injections.hazard_duration)
    for step, line in np.argwhere(out[1:] & ~out[:-1]).tolist():
        row = int(recorded.states.t[step + 1])
        noun = "maintenance" if planned[step + 1, line] else "hazard"
        words = f"the {noun} of line {task.system.grid.name_line[line]} from step {step}"
        yield Cause(Kind.OUTAGE, step, words, Change(What.OUTAGE, step, line, row + int(left[step + 1, line])))


def _actions(task: Task, recorded: Recorded) -> Iterator[Cause]:
    action = recorded.action
    for step, zone in np.argwhere(action.first < action.last).tolist():
        begin, end = action.first[step, zone], action.last[step, zone]
        asked = in_words(task.system, Commands(*(column[begin:end] for column in action.commands)))
        words = f"{task.zones[zone]}'s action at step {step} ({asked})"
        yield Cause(Kind.ACTION, step, words, Change(What.ACTION, step, zone))


def _trips(task: Task, recorded: Recorded) -> Iterator[Cause]:
    """Waves of a cascade in their order: what a first trip set off comes after it."""
    wave = recorded.states.disc_lines[1:]
    tripped = np.argwhere(wave >= 0).tolist()
    for step, line in sorted(tripped, key=lambda at: (at[0], wave[at[0], at[1]])):
        words = f"the trip of line {task.system.grid.name_line[line]} at step {step} (wave {wave[step, line]})"
        yield Cause(Kind.TRIP, step, words, Change(What.TRIP, step, line))
