"""Which zone's choice would have saved a lost grid: every legal action of every zone in the last steps, tried."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.attribution_forks import Change, Forks, What, replay
from experiments.attribution_record import Recorded
from marlgrid.simulation.rules import legal
from marlgrid.simulation.state import take
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.commands import in_words
from marlgrid.task.menu import Table
from marlgrid.task.task import Task


class Chance(NamedTuple):
    """One zone's one action that would have put the blackout off."""

    step: int
    zone: str
    action: str
    """In words."""
    gained: int
    """Steps that the episode lasts longer by it, everything else as recorded."""
    completes: bool
    """It even reaches the time limit."""


class Chances(NamedTuple):
    """The first and the last step of the window in which one action of one zone was enough."""

    window: int
    """Steps looked at, up to the end."""
    tried: int
    """Actions tried."""
    enough: int
    """How many of them would have done."""
    zones: tuple[str, ...]
    """Who had such an action at all."""
    earliest: Chance | None
    latest: Chance | None


def chances(task: Task, recorded: Recorded, window: int = 24, delay: int = 12, ready: Table | None = None) -> Chances:
    """Tries each legal action of each zone in each of the last ``window`` steps, all else as recorded (open loop).

    An action is enough if the episode then completes or lasts at least ``delay`` steps longer. The actions are those
    of ``ready``, by default those of the task where it has ready ones (``DiscreteActions``), else of the default menu.
    """
    ready = ready_actions(task) if ready is None else ready
    step, zone, entry = _choices(task, recorded, ready, window)
    forks = [(Change(What.ACTION, *choice),) for choice in zip(step, zone, entry, strict=True)]
    enough_at = min(recorded.lasted + delay, recorded.length)
    lasted = replay(task, recorded, forks, ready=ready, until=enough_at).lasted
    enough = np.flatnonzero(lasted >= enough_at)
    ends = []
    for at in (min, max):
        those = [k for k in enough.tolist() if step[k] == at(step[j] for j in enough)]
        whole = replay(task, recorded, [forks[k] for k in those], ready=ready)
        ends.append(_best(task, recorded, ready, forks, those, whole))
    zones = tuple(task.zones[z] for z in sorted({zone[k] for k in enough}))
    return Chances(min(window, recorded.n_step), len(forks), len(enough), zones, *ends)


def ready_actions(task: Task) -> Table:
    """The ready actions of all zones."""
    actions = task.actions if isinstance(task.actions, DiscreteActions) else DiscreteActions(task.system)
    return actions.table


def _choices(task: Task, recorded: Recorded, ready: Table, window: int) -> tuple[list[int], list[int], list[int]]:
    """(step, zone, entry) of what is tried; entry -1, doing nothing, for zones that did something."""
    steps = np.arange(max(recorded.n_step - window, 0), recorded.n_step)
    states = take(recorded.states, steps)
    allowed = legal(task.system, states, ready.commands, ready.start, ready.zone) & (np.diff(ready.start) > 0)
    row, entry = np.nonzero(allowed)
    acted = np.argwhere(recorded.action.first[steps] < recorded.action.last[steps])
    return (
        [*steps[row].tolist(), *steps[acted[:, 0]].tolist()],
        [*ready.zone[entry].tolist(), *acted[:, 1].tolist()],
        [*entry.tolist(), *[-1] * len(acted)],
    )


def _best(
    task: Task, recorded: Recorded, ready: Table, forks: list[tuple[Change]], those: list[int], whole: Forks
) -> Chance | None:
    """Of several, the one that lasts longest."""
    if not those:
        return None
    best = int(np.argmax(whole.lasted))
    _, step, zone, entry = forks[those[best]][0]
    words = "do nothing" if entry < 0 else in_words(task.system, ready.entry(entry))
    gained = int(whole.lasted[best]) - recorded.lasted
    return Chance(step, task.zones[zone], words, gained, bool(whole.completed[best]))
