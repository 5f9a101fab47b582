"""Feature vectors: what each agent sees of a state, as one float32 vector per agent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from gymnasium import spaces

from marlgrid.compiled import kernel_in_place, rule, scratch
from marlgrid.lookup import find
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.frame import Memory, every, framed, view_frame
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.calendar import Calendar
from marlgrid.task.commands import place_names
from marlgrid.task.noise import Noise, NoiseSpec, noise_from
from marlgrid.task.sensors import CLOCK_NAMES, PROXIMITY_STEPS, READINGS, Sensor, sensors
from marlgrid.task.sight import Sight

OPPONENT = "opponent_0"
FLOAT, WHOLE, CLOCK_READING, SINGLE = 0, 1, 2, 3
"""Where a feature is read: among the block's float64, among its int32, off the clock, or among its float32."""
KINDS = {np.dtype(np.float64): FLOAT, np.dtype(np.int32): WHOLE, np.dtype(np.float32): SINGLE}
LIMIT = 10.0
"""Normalised features are cut off here: a collapsing grid must not blow up a network's input."""

DEFAULT_ATTRIBUTES = (
    "gen_p", "gen_margin_up", "gen_margin_down", "target_dispatch", "actual_dispatch", "gen_p_before_curtail",
    "curtailment_limit", "load_p", "load_q", "storage_charge", "storage_power", "p_or", "q_or", "p_ex", "q_ex", "rho",
    "line_status", "timestep_overflow", "time_before_cooldown_line", "time_next_maintenance",
    "duration_next_maintenance", "attack_remaining", "topo_vect", "time_before_cooldown_sub", "time_of_day",
    "time_of_week", "time_to_horizon",
)  # fmt: skip
OPPONENT_ATTRIBUTES = (
    "rho", "line_status", "attack_remaining", "attackable", "attack_budget", "attack_cooldown", "time_of_day",
    "time_of_week", "time_to_horizon",
)  # fmt: skip


class ObservationFn(Protocol):
    """What the agents see.

    A method ``observe_of(state, rows)`` may give vectors that mean something in the environments ``rows`` (n,) alone,
    which is all that is asked for where zones decide on occasion only.
    """

    def space(self, agent: str) -> spaces.Box:
        """The observation space of an agent: the same object at each call."""

    def observe(self, state: State) -> dict[str, np.ndarray]:
        """Agent -> (n_env, n) float32, for the zones and ``opponent_0``."""

    @property
    def state_space(self) -> spaces.Box:
        """The space of ``central_state``."""

    def central_state(self, state: State) -> np.ndarray:
        """(n_env, n) float32: everything, for a central critic."""


class VectorObservation:
    """One bank of features a step, out of which each agent gets its own selection.

    ``scope``: a zone sees what stands in its own substations (``"local"``), also in those up to ``hops`` lines away
    (``"neighbourhood"``), or everything (``"global"``). Of a line that leaves what it sees, an agent sees the flows at
    its own end, and rho, status, counters and plans of the line; nothing else from beyond. The opponent sees all lines,
    its budget and its cooldown.

    Normalised features are in the order of 1: power by pmax, by the load's rated power, or by 100 MW on lines; charge
    by capacity; time to maintenance as a proximity; busbars as -1 out, 0 first, 1 second. Otherwise they are in the
    units of the observation attributes. After a game over only time remains, the rest is as in the full observation.

    ``noise`` is what sensors get wrong, see ``noise.noise_from``: ``"grid2op"``, or a standard deviation in normalised
    units, one number or one per attribute. ``pad=True`` fills the zones' vectors with zeros to equal lengths.
    ``opponent=False`` leaves ``opponent_0`` out, where it is no agent.
    """

    def __init__(
        self,
        system: System,
        series: TimeSeries,
        scope: str = "local",
        hops: int = 1,
        attributes: Sequence[str] | None = None,
        normalise: bool = True,
        noise: NoiseSpec = None,
        pad: bool = False,
        opponent: bool = True,
    ) -> None:
        self.system, self.series = system, series
        self.sight = Sight(scope, hops)
        self.normalise, self.pad = normalise, pad
        self.attributes = tuple(DEFAULT_ATTRIBUTES if attributes is None else attributes)
        known = sensors(system, normalise)
        _check_attributes(self.attributes, known)
        chosen = {name: known[name] for name in dict.fromkeys(self.attributes + OPPONENT_ATTRIBUTES)}
        self._names = [name for name, sensor in chosen.items() for _ in sensor.pick]
        self._bank = _Program(system, chosen, normalise)
        self.noise = noise_from(noise, system)
        self._errors = None if self.noise is None else _Errors(self.noise, chosen, normalise)
        zones = {agent: self.sight.subs(system, z) for z, agent in enumerate(system.zones.agents)}
        index = {agent: self._index(chosen, self.attributes, subs) for agent, subs in zones.items()}
        if pad:
            longest = max(map(len, index.values()))
            blank = len(self._names)
            index = {a: np.append(i, np.full(longest - len(i), blank)) for a, i in index.items()}
        if opponent:
            everywhere = np.ones(system.grid.n_sub, dtype=bool)
            index[OPPONENT] = self._index(chosen, OPPONENT_ATTRIBUTES, everywhere, opponent=True)
        self._index_of = index
        self._all = np.concatenate(list(index.values())).astype(np.int32)
        ends = np.cumsum([len(i) for i in index.values()])
        self._slices = {a: slice(int(end) - len(index[a]), int(end)) for a, end in zip(index, ends, strict=True)}
        bound = LIMIT if normalise else np.inf
        self._spaces = {a: spaces.Box(-bound, bound, (len(i),), np.float32) for a, i in index.items()}
        self._calendar = Calendar(series)

    # ------------------------------------------------------------------ what the agents see
    def space(self, agent: str) -> spaces.Box:
        return self._spaces[agent]

    @cached_property
    def state_space(self) -> spaces.Box:
        bound = LIMIT if self.normalise else np.inf
        return spaces.Box(-bound, bound, (len(self._names),), np.float32)

    def feature_names(self, agent: str | None = None) -> list[str]:
        """What each number of an agent's vector is (of the central state's, for None)."""
        names = [*self._bank.labels, "padding"]
        return names[:-1] if agent is None else [names[i] for i in self._index_of[agent]]

    def observe(self, state: State, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        if self.noise is None:
            flat = self._bank.run(self.system, state, self._calendar, self._all, rows)
        else:
            flat = self._features(state)[:, self._all]
        return {agent: flat[:, part] for agent, part in self._slices.items()}

    observe_of = observe  # which can leave environments out

    def central_state(self, state: State) -> np.ndarray:
        return self._features(state)[:, :-1]

    def _features(self, state: State) -> np.ndarray:
        """(n_env, n_feature + 1) float32, the last one always 0."""
        features = self._bank.run(self.system, state, self._calendar, None)
        if self.noise is None or self._errors is None:
            return features
        noisy = self._errors.on(features, self.noise.draws(state.seed, state.t))
        bound = LIMIT if self.normalise else np.inf
        return np.where(state.lost[:, None], features, np.clip(noisy, -bound, bound)).astype(np.float32)

    def _index(
        self, chosen: dict[str, Sensor], attributes: Sequence[str], subs: np.ndarray, opponent: bool = False
    ) -> np.ndarray:
        """Columns of the bank that an agent with these substations in view sees, in the order of ``attributes``."""
        begin = dict(zip(chosen, np.cumsum([0, *(len(sensor.pick) for sensor in chosen.values())]), strict=False))
        found = [
            begin[name] + np.flatnonzero(_visible(self.system, chosen[name], subs, opponent))
            for name in dict.fromkeys(attributes)
        ]
        return np.concatenate(found)


class _Program:
    """How a state becomes features: for each feature the array and column that it is read from, and its scaling."""

    def __init__(self, system: System, chosen: dict[str, Sensor], normalise: bool) -> None:
        self.sources = tuple(dict.fromkeys(s.source for s in chosen.values()))
        source, columns, linear, proximity, labels = [], [], [], [], []
        for name, sensor in chosen.items():
            n = len(sensor.pick)
            source.append(np.full(n, self.sources.index(sensor.source)))
            columns.append(sensor.pick if sensor.column is None else sensor.column)
            unit = sensor.unit if normalise else 1.0
            parts = (sensor.scale, sensor.offset, sensor.low, sensor.high, sensor.over, unit)
            linear.append(np.stack([np.broadcast_to(np.asarray(p, dtype=np.float64), (n,)) for p in parts]))
            proximity.append(np.full(n, normalise and sensor.proximity))
            labels += _labels(system, name, sensor)
        self.source = np.concatenate(source).astype(np.int64)
        self.columns = np.concatenate(columns).astype(np.int64)
        self.linear = np.ascontiguousarray(np.concatenate(linear, axis=1))
        self.proximity = np.concatenate(proximity)
        self.labels = labels
        self._everything = np.arange(len(labels) + 1, dtype=np.int32)
        self.limit = float(LIMIT if normalise else np.inf)
        self._runs: dict[int, np.ndarray] = {}

    def run(
        self,
        system: System,
        state: State,
        calendar: Calendar,
        select: np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> np.ndarray:
        """(n_env, n) float32: the features of the state, or those that ``select`` numbers; zeros but in ``rows``."""
        memory = framed(system, state).memory
        runs = self._runs.get(memory.n_env)
        if runs is None:
            runs = self._runs[memory.n_env] = self._located(memory)
        picked = self._everything if select is None else select
        out = np.empty((memory.n_env, len(picked)), dtype=np.float32)
        asked = every(memory.n_env) if rows is None else rows
        scaling = self.linear, system.delta_time, self.limit
        while not _features(memory.block, asked, runs, *scaling, calendar.table, picked, out):
            calendar.learn(state.scenario.tolist())
        return out

    def _located(self, memory: Memory) -> np.ndarray:
        """(n_run, 6) int64: first and last (excluded) of features that stand side by side in the block; where the first
        one of the first environment is read, in units of its type; how far it is to the next environment; the type,
        one of those above; and whether they are proximities."""
        base, rows = memory.block.ctypes.data, []
        for name in self.sources:
            if name == "clock":
                rows.append((0, 0, CLOCK_READING))
                continue
            array = READINGS[name](memory.state)
            rows.append(((array.ctypes.data - base) // array.itemsize, array.shape[1], KINDS[array.dtype]))
        begin, width, kind = np.array(rows, dtype=np.int64)[self.source].T
        places = np.stack([begin + self.columns, width, kind, self.proximity], axis=1)
        alike = (np.diff(places, axis=0) == (1, 0, 0, 0)).all(axis=1) & (np.diff(self.source) == 0)
        first = np.concatenate([[0], 1 + np.flatnonzero(~alike)])
        last = np.append(first[1:], len(places))
        return np.concatenate([first[:, None], last[:, None], places[first]], axis=1)


# ---------------------------------------------------------------------------------------------------- who sees what
def _visible(system: System, sensor: Sensor, subs: np.ndarray, opponent: bool) -> np.ndarray:
    """(n,) bool: which of a sensor's elements are in view."""
    grid = system.grid
    if sensor.family in ("opponent", "attackable"):
        return np.full(len(sensor.pick), opponent)
    if sensor.family in ("time", "team"):
        return np.ones(len(sensor.pick), dtype=bool)
    whole = {
        "gen": subs[grid.gen_to_subid],
        "load": subs[grid.load_to_subid],
        "storage": subs[grid.storage_to_subid],
        "sub": subs,
        "place": subs[grid.topology_layout.sub],
        "line_or": subs[grid.line_or_to_subid],
        "line_ex": subs[grid.line_ex_to_subid],
        "line": subs[grid.line_or_to_subid] | subs[grid.line_ex_to_subid],
    }
    return whole[sensor.family][sensor.pick]


def _labels(system: System, name: str, sensor: Sensor) -> list[str]:
    """Names of a sensor's features; lines between zones are marked."""
    grid = system.grid
    if sensor.family == "time":
        return [CLOCK_NAMES[i] for i in sensor.pick]
    if sensor.family in ("opponent", "team"):
        return [name] * len(sensor.pick)
    lines = [f"{line} (tie)" if tie else line for line, tie in zip(grid.name_line, system.zones.is_tie, strict=True)]
    names: dict[str, Sequence[str]] = {
        "gen": grid.name_gen,
        "load": grid.name_load,
        "storage": grid.name_storage,
        "sub": grid.name_sub,
        "place": place_names(grid),
    }
    return [f"{name} {names.get(sensor.family, lines)[i]}" for i in sensor.pick]


def _check_attributes(attributes: Sequence[str], known: dict[str, Sensor]) -> None:
    allowed = [name for name, sensor in known.items() if sensor.family not in ("opponent", "attackable")]
    unknown = sorted(set(attributes) - set(allowed))
    if unknown or isinstance(attributes, str) or not attributes:
        raise ValueError(f"unknown observation attribute(s) {unknown or attributes!r}; choose from {sorted(allowed)}")


class _Errors:
    """The noise of each feature: its draw, and standard deviations in the unit of the feature."""

    def __init__(self, noise: Noise, chosen: dict[str, Sensor], normalise: bool) -> None:
        column, factor, added = [], [], []
        for name, sensor in chosen.items():
            n = len(sensor.pick)
            unit = sensor.unit if normalise else 1.0
            begin = noise.columns(name).start if sensor.measured else 0
            column.append(begin + np.arange(n))
            factor.append(np.full(n, noise.factor.get(name, 0.0)))
            added.append(np.broadcast_to(noise.added.get(name, 0.0) / unit, n))
        self.column = np.concatenate([*column, [0]])
        self.factor, self.added = np.concatenate([*factor, [0.0]]), np.concatenate([*added, [0.0]])

    def on(self, features: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """(n_env, n_feature + 1) with their errors."""
        error = draws[:, self.column]
        return features * np.exp(self.factor * error) + self.added * error


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _features(block, rows, runs, linear, delta_time, limit, calendar, index, out) -> bool:  # pragma: no cover
    """Writes the features that ``index`` numbers of environments ``rows``, zeros for the others; the one after the last
    is 0. False if the calendar does not know a scenario."""
    numbers, wholes, singles = block.view(np.float64), block.view(np.int32), block.view(np.float32)
    state = view_frame(block).state
    n = linear.shape[1]
    reading, feature, clock = scratch(n, np.float64), scratch(n + 1, np.float32), scratch(5, np.float64)
    for e in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[e, k] = 0.0
    for e in rows:
        start_minute = find(calendar, state.scenario[e])
        if start_minute < 0:
            return False
        left = (state.t_end[e] - state.t[e]) / max(state.t_end[e] - state.t_start[e], 1)
        _tell(clock, start_minute + state.t[e] * delta_time, left)
        _read(e, runs, numbers, wholes, singles, clock, reading)
        for f in range(n):
            value = min(max(linear[0, f] * reading[f] + linear[1, f], linear[2, f]), linear[3, f])
            feature[f] = min(max(value / linear[5, f], -limit), limit)
        _approach(runs, linear[5], limit, reading, feature)
        if state.outcome[e] > Outcome.TIME_LIMIT:
            for f in range(n):
                if not np.isnan(linear[4, f]):
                    feature[f] = min(max(linear[4, f] / linear[5, f], -limit), limit)
        for k in range(len(index)):
            out[e, k] = feature[index[k]]
    return True


@rule
def _tell(clock, minute, left):  # pragma: no cover
    """Sine and cosine of the time of day and of the week, and the part of the episode that is left."""
    day = 2.0 * np.pi * (minute % 1440.0) / 1440.0
    week = 2.0 * np.pi * (minute % 10080.0) / 10080.0
    clock[0], clock[1], clock[2], clock[3], clock[4] = np.sin(day), np.cos(day), np.sin(week), np.cos(week), left


@rule
def _read(e, runs, numbers, wholes, singles, clock, reading):  # pragma: no cover
    """What the features of one environment are made of."""
    for r in range(runs.shape[0]):
        first, last, begin, width, kind = runs[r, 0], runs[r, 1], runs[r, 2], runs[r, 3], runs[r, 4]
        at = begin + e * width - first
        if kind == FLOAT:
            for f in range(first, last):
                reading[f] = numbers[at + f]
        elif kind == WHOLE:
            for f in range(first, last):
                reading[f] = np.float64(wholes[at + f])
        elif kind == SINGLE:
            for f in range(first, last):
                reading[f] = np.float64(singles[at + f])
        else:
            for f in range(first, last):
                reading[f] = clock[at + f]


@rule
def _approach(runs, unit, limit, reading, feature):  # pragma: no cover
    """Steps to something that is planned as its proximity: 1 now, 0 never."""
    for r in range(runs.shape[0]):
        if runs[r, 5]:
            for f in range(runs[r, 0], runs[r, 1]):
                value = 0.0 if reading[f] < 0 else PROXIMITY_STEPS / (PROXIMITY_STEPS + reading[f])
                feature[f] = min(max(value / unit[f], -limit), limit)
