"""The ready actions of a zone, by kind and element, and the table that holds those of all zones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind, concatenate
from marlgrid.simulation.footprints import Footprints, footprints
from marlgrid.simulation.rules import action_mask, legal
from marlgrid.simulation.state import State
from marlgrid.task.busbars import configurations

KINDS = ("line", "bus", "redispatch", "curtail", "storage")
WARNINGS = ("alarm", "alert")
"""Kinds that a menu has only when asked for them."""
LINE_SWITCHING = ("set", "change", "both", "connect")


class Component(NamedTuple):
    """Alternatives of which at most one is played in a step."""

    name: str
    options: list[Commands]


@dataclass(frozen=True)
class Menu:
    """Which ready actions a zone has."""

    kinds: tuple[str, ...] = KINDS
    """``line``: switch a line; ``bus``: reconfigure a substation; ``redispatch``, ``curtail``, ``storage``; not by
    default ``alarm``: warn of an area; ``alert``: warn of an attack on a line."""
    line: str = "set"
    """``set``: connect and disconnect each line; ``change``: toggle it, half as many actions; ``both``;
    ``connect``: only that."""
    max_bus_actions: int | None = 64
    """Configurations per substation, chosen as ``busbars.configurations`` says; None for all."""
    redispatch: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)
    """Fractions of the ramp (down for negative ones)."""
    curtail: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Caps as ratios of pmax; 1 releases."""
    storage: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)
    """Fractions of the largest power, charging positive."""

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS + WARNINGS]
        if unknown or isinstance(self.kinds, str):
            raise ValueError(f"kinds is {self.kinds!r}, give a tuple out of {KINDS + WARNINGS}")
        if self.line not in LINE_SWITCHING:
            raise ValueError(f"line is {self.line!r}, choose from {LINE_SWITCHING}")
        if self.max_bus_actions is not None and self.max_bus_actions < 2:
            raise ValueError(f"max_bus_actions is {self.max_bus_actions}, give at least 2, or None for all")
        for name, low in (("redispatch", -1), ("curtail", 0), ("storage", -1)):
            if any(not low <= level <= 1 for level in getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}, give fractions from {low} to 1")

    def components(self, system: System, zone: int) -> list[Component]:
        """Alternatives of a zone: one component each for its lines and substations, one per unit and per warning."""
        makers = {
            "line": self._lines,
            "bus": self._busbars,
            "redispatch": self._redispatch,
            "curtail": self._curtail,
            "storage": self._storage,
            "alarm": _alarms,
            "alert": _alerts,
        }
        components = [c for kind in KINDS + WARNINGS if kind in self.kinds for c in makers[kind](system, zone)]
        return [component for component in components if component.options]

    def _lines(self, system: System, zone: int) -> list[Component]:
        options = []
        for line in np.flatnonzero(system.zones.may_switch[zone]).tolist():
            if self.line != "change":
                options.append(_single(Kind.SET_LINE_STATUS, line, 1))
            if self.line in ("set", "both"):
                options.append(_single(Kind.SET_LINE_STATUS, line, -1))
            if self.line in ("change", "both"):
                options.append(_single(Kind.CHANGE_LINE_STATUS, line, 1))
        return [Component("line", options)]

    def _busbars(self, system: System, zone: int) -> list[Component]:
        options = []
        for sub in np.flatnonzero(system.zones.labels == zone):
            places = np.arange(system.grid.sub_start[sub], system.grid.sub_start[sub + 1], dtype=np.int32)
            kind = np.full(len(places), Kind.SET_BUS, dtype=np.int8)
            ways = configurations(system.grid, int(sub), self.max_bus_actions)
            options += [Commands(kind, places, busbars.astype(np.float64)) for busbars in ways]
        return [Component("bus", options)]

    def _redispatch(self, system: System, zone: int) -> list[Component]:
        grid = system.grid
        components = []
        for gen in redispatchable(system, zone):
            ramps = grid.gen_max_ramp_down[gen], grid.gen_max_ramp_up[gen]
            values = [level * ramps[level > 0] for level in self.redispatch]
            options = [_single(Kind.REDISPATCH, gen, value) for value in values if value]
            components.append(Component(f"redispatch {grid.name_gen[gen]}", options))
        return components

    def _curtail(self, system: System, zone: int) -> list[Component]:
        return [
            Component(
                f"curtail {system.grid.name_gen[gen]}", [_single(Kind.CURTAIL, gen, level) for level in self.curtail]
            )
            for gen in curtailable(system, zone)
        ]

    def _storage(self, system: System, zone: int) -> list[Component]:
        grid = system.grid
        components = []
        for unit in np.flatnonzero(system.zones.storage == zone).tolist():
            powers = grid.storage_max_p_prod[unit], grid.storage_max_p_absorb[unit]
            values = [level * powers[level > 0] for level in self.storage]
            options = [_single(Kind.SET_STORAGE, unit, value) for value in values if value]
            components.append(Component(f"storage {grid.name_storage[unit]}", options))
        return components


def _alarms(system: System, zone: int) -> list[Component]:
    areas = system.attention.areas
    may = np.flatnonzero(system.tables.may_alarm[zone]).tolist()
    return [Component(f"alarm {areas[area]}", [_single(Kind.RAISE_ALARM, area, 1.0)]) for area in may]


def _alerts(system: System, zone: int) -> list[Component]:
    lines = system.attention.alert_lines
    may = np.flatnonzero(system.tables.may_alert[zone]).tolist()
    return [Component(f"alert {lines[line]}", [_single(Kind.RAISE_ALERT, line, 1.0)]) for line in may]


def redispatchable(system: System, zone: int) -> np.ndarray:
    """Numbers of the zone's generators that can be redispatched."""
    return np.flatnonzero(system.grid.gen_redispatchable & (system.zones.gen == zone))


def curtailable(system: System, zone: int) -> np.ndarray:
    """Numbers of the zone's renewable generators."""
    return np.flatnonzero(system.grid.gen_renewable & (system.zones.gen == zone))


def _single(kind: Kind, index: int, value: float) -> Commands:
    return Commands(np.array([kind], np.int8), np.array([index], np.int32), np.array([value], np.float64))


class Table(NamedTuple):
    """Ready actions of all zones, end to end."""

    commands: Commands
    start: np.ndarray
    """(n_action + 1,) int32 commands ``start[a]`` to ``start[a + 1]`` are action a."""
    zone: np.ndarray
    """(n_action,) int32 whose action it is."""
    offset: np.ndarray
    """(n_zone + 1,) int64 the actions of zone z are ``offset[z]`` to ``offset[z + 1]``."""
    footprints: Footprints
    """The same actions, grouped for the judge: a grid has many configurations per substation and few substations."""

    def mask(self, system: System, state: State, rows: np.ndarray | None = None) -> np.ndarray:
        """(n_env, n_action) int8: what the rules would accept of the zone whose action it is.

        ``rows`` (n,) are the environments that are asked about, None for all; what is said of others means nothing.
        """
        if system.rules.own:  # they may tell apart what the built-in rules do not
            return legal(system, state, self.commands, self.start, self.zone).view(np.int8)
        return action_mask(system, state, self.footprints, rows)

    def entry(self, action: int) -> Commands:
        """The commands of one action."""
        begin, end = self.start[action], self.start[action + 1]
        return Commands(*(column[begin:end] for column in self.commands))


def table(actions: Sequence[Sequence[Commands]]) -> Table:
    """The table of ``actions[zone]``."""
    flat = [commands for zone in actions for commands in zone]
    sizes = [len(zone) for zone in actions]
    zone = np.repeat(np.arange(len(actions)), sizes).astype(np.int32)
    return Table(
        commands=concatenate(flat),
        start=np.concatenate([[0], np.cumsum([len(commands.kind) for commands in flat])]).astype(np.int32),
        zone=zone,
        offset=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        footprints=footprints(flat, zone),
    )


def padded(system: System, actions: list[list[Commands]]) -> list[list[Commands]]:
    """The lists of all zones, filled up to equal lengths with actions that are always refused.

    What fills up is a command on another zone's element, so the rules alone keep it out of the mask.
    """
    longest = max(map(len, actions))
    filled = []
    for zone, commands in enumerate(actions):
        foreign = np.flatnonzero(system.zones.place != zone)
        missing = longest - len(commands)
        filled.append(commands + [_single(Kind.SET_BUS, foreign[0], 1) for _ in range(missing)])
    return filled
