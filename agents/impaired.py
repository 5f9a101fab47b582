"""Teams in trouble: zones that fall silent, observations that come late, news from other zones that do not come.

Each wraps any team. What it draws follows from the seed and the step of the episode, so that impaired teams are
compared on the same mishaps; what it must remember stands in the memory, beside that of the team.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from agents.base import Agent, Choices
from marlgrid import seeding
from marlgrid.simulation.action import NO_COMMANDS
from marlgrid.simulation.frame import Memory
from marlgrid.simulation.state import State
from marlgrid.task.accounts import zero_totals
from marlgrid.task.features import VectorObservation
from marlgrid.task.task import Episode, Outputs, Task

STREAM_SILENT = 911
STREAM_UNHEARD = 931


# ---------------------------------------------------------------------------------------------------- silent zones
class SilentMemory(NamedTuple):
    """Of a team in which zones fall silent."""

    team: Any
    last: dict[str, np.ndarray]
    """Zone -> (n_env,) objects: what it last answered itself."""


class Silent:
    """Zones fail: from step ``start`` on, and then in each step with probability ``rate``, nothing is heard of them.

    A silent zone does nothing, or with ``repeat=True`` what it last asked for, again (refused where that is no longer
    legal). It keeps on observing. ``zones`` None: any zone may fail, each by itself.
    """

    def __init__(
        self, team: Agent, zones: Sequence[str] | None = None, rate: float = 1.0, start: int = 0, repeat: bool = False
    ) -> None:
        _check_rate(rate)
        self.team, self.zones, self.rate, self.start, self.repeat = team, zones, rate, start, repeat

    def initial_memory(self, task: Task, n_env: int) -> SilentMemory:
        idle = {zone: _objects([NO_COMMANDS] * n_env) for zone in task.zones} if self.repeat else {}
        return SilentMemory(self.team.initial_memory(task, n_env), idle)

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: SilentMemory) -> tuple[Choices, SilentMemory]:
        choices, team = self.team.act(task, episode, outputs, memory.team)
        state, last = episode.state, dict(memory.last)
        began = state.t - state.t_start >= self.start
        for number, zone in enumerate(task.zones):
            if self.zones is not None and zone not in self.zones:
                continue
            silent = began & _drawn(state, STREAM_SILENT + number, self.rate)
            instead = last[zone] if self.repeat else [NO_COMMANDS] * state.n_env
            choices[zone] = [
                other if out else own for own, other, out in zip(choices[zone], instead, silent, strict=True)
            ]
            if self.repeat:
                last[zone] = _objects(choices[zone])
        return choices, SilentMemory(team, last)


# ---------------------------------------------------------------------------------------------------- late observations
class Told(NamedTuple):
    """All that a team was told in one step."""

    state: State
    totals: np.ndarray
    observations: dict[str, np.ndarray]
    masks: dict[str, Any]


class DelayedMemory(NamedTuple):
    """Of a team that is told late."""

    team: Any
    past: tuple[Told, ...]
    """What is on its way, the oldest first."""


class Delayed:
    """All that the team sees, masks and the highest loading included, is ``steps`` steps old.

    At the start of an episode, it sees the first state until later ones arrive. Its actions arrive at once; those that
    are not legal any more are refused.
    """

    def __init__(self, team: Agent, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"a delay of {steps} steps: give at least 1")
        self.team, self.steps = team, steps

    def initial_memory(self, task: Task, n_env: int) -> DelayedMemory:
        state = Memory(task.system, n_env).framed()
        nothing = Told(
            state,
            zero_totals(n_env, task.system.n_zone),
            {agent: np.zeros((n_env, *task.observation_space(agent).shape), np.float32) for agent in task.agents},
            task.action_masks(state) if task.masks else {},
        )
        return DelayedMemory(self.team.initial_memory(task, n_env), (nothing,) * self.steps)

    def act(
        self, task: Task, episode: Episode, outputs: Outputs, memory: DelayedMemory
    ) -> tuple[Choices, DelayedMemory]:
        now = Told(episode.state, episode.totals, outputs.observations, outputs.masks)
        new = episode.state.t == episode.state.t_start
        past = tuple(_where(new, now, told) for told in memory.past) if new.any() else memory.past
        old = past[0]
        seen = outputs._replace(observations=old.observations, masks=old.masks)
        choices, team = self.team.act(task, Episode(old.state, (), old.totals), seen, memory.team)
        return choices, DelayedMemory(team, (*past[1:], now))


# ---------------------------------------------------------------------------------------------------- lost messages
class UnheardMemory(NamedTuple):
    """Of a team whose zones hear from each other at times."""

    team: Any
    heard: dict[str, np.ndarray]
    """Zone -> (n_env, n) float32: its observation with what it last heard of beyond its own substations."""


class Unheard:
    """In each step, with probability ``rate`` for each zone, it gets no news from beyond its own substations.

    What it saw there last stays in its observation. What ``observation="local"`` shows is always up to date, as are its
    mask and what every zone is told of the grid (``Seen.alarm``, ``Seen.waiting``). For policies that decide on
    their observation vectors: a team that reads states or views is not impaired.
    """

    def __init__(self, team: Agent, rate: float) -> None:
        _check_rate(rate)
        self.team, self.rate = team, rate

    def initial_memory(self, task: Task, n_env: int) -> UnheardMemory:
        blank = {zone: np.zeros((n_env, *task.observation_space(zone).shape), np.float32) for zone in task.zones}
        return UnheardMemory(self.team.initial_memory(task, n_env), blank)

    def act(
        self, task: Task, episode: Episode, outputs: Outputs, memory: UnheardMemory
    ) -> tuple[Choices, UnheardMemory]:
        state = episode.state
        remote = remote_features(task)
        seen = dict(outputs.observations)
        for number, zone in enumerate(task.zones):
            unheard = _drawn(state, STREAM_UNHEARD + number, self.rate) & (state.t > state.t_start)
            seen[zone] = np.where(unheard[:, None] & remote[zone], memory.heard[zone], seen[zone])
        choices, team = self.team.act(task, episode, outputs._replace(observations=seen), memory.team)
        return choices, UnheardMemory(team, {zone: seen[zone] for zone in task.zones})


@lru_cache(maxsize=16)
def remote_features(task: Task) -> dict[str, np.ndarray]:
    """Zone -> (n,) bool: the entries of its observation that its own substations do not show.

    Raises ValueError where observations are not vectors with names.
    """
    whole = task.observation
    if not isinstance(whole, VectorObservation):
        raise ValueError(f"what is local is known of a VectorObservation alone, not of a {type(whole).__name__}")
    local = VectorObservation(task.system, task.series, "local", attributes=whole.attributes)
    return {zone: ~np.isin(whole.feature_names(zone), [*local.feature_names(zone), "padding"]) for zone in task.zones}


# ---------------------------------------------------------------------------------------------------- parts
def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}, give a probability from 0 to 1")


def _drawn(state: State, stream: int, rate: float) -> np.ndarray:
    """(n_env,) bool: true with probability ``rate``, by the seed and the step."""
    return np.asarray(seeding.uniform(state.seed, state.t, stream, 1)[:, 0] < rate)


def _objects(answers: Sequence[Any]) -> np.ndarray:
    """(n_env,) of answers, whatever they are."""
    array = np.empty(len(answers), dtype=object)
    for env, answer in enumerate(answers):
        array[env] = answer
    return array


def _where(rows: np.ndarray, first: Any, second: Any) -> Any:
    """Of two nested records of the same form, the rows of the first where ``rows`` (n_env,) is true."""
    if isinstance(first, dict):
        return {key: _where(rows, first[key], second[key]) for key in first}
    if isinstance(first, tuple):
        parts = [_where(rows, one, other) for one, other in zip(first, second, strict=True)]
        plain = State if isinstance(first, State) else type(first)
        return plain(*parts) if hasattr(first, "_fields") else tuple(parts)
    return np.where(rows.reshape(-1, *[1] * (first.ndim - 1)), first, second)
