"""Actions in the words of power-grid users: a mapping such as ``{"set_line_status": [("0_1_0", -1)]}`` into commands.

Keys, sub-keys and forms of values are those of Grid2Op's action page: ``set_line_status``, ``change_line_status``,
``set_bus``, ``change_bus``, ``redispatch``, ``set_storage``, ``curtail``, ``raise_alarm``, ``raise_alert``. What is
malformed (an unknown key, element or busbar) raises here; what is merely forbidden now (a cooldown, a ramp) is judged,
and reported, when it is played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.attention import AttentionRules
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Commands, Kind, canonical, concatenate
from marlgrid.task.hand_built import checked

MakeKeys = Mapping[str, Any]


class _Elements(NamedTuple):
    """Elements that a key may name."""

    noun: str
    names: tuple[str, ...]
    position: np.ndarray
    """(n,) what a command calls each of them: itself, or its place in the topology vector."""

    def number(self, key: str, given: Any) -> int:
        """Number of the element that was given by name or by number."""
        if isinstance(given, str):
            if given in self.names:
                return self.names.index(given)
        elif isinstance(given, (int, np.integer)) and not isinstance(given, bool) and 0 <= given < len(self.names):
            return int(given)
        some = ", ".join(map(repr, self.names[:5])) + (", ..." if len(self.names) > 5 else "")
        raise ValueError(
            f"{key}: there is no {self.noun} {given!r}; numbers go from 0 to {len(self.names) - 1}, names are ({some})"
        )


def make_action(system: System | Grid, keys: MakeKeys) -> Commands:
    """Commands out of a mapping of keys to values, all in the units of the grid (MW, ratios of pmax, busbars).

    A value is a vector over all elements, one pair ``(element, value)``, a list of pairs or a mapping from element to
    value; elements are numbers or names. For the ``change`` and ``raise`` keys it is a boolean vector, an element or a
    list of them. Neutral values (0, False, a curtailment of -1, a redispatch that is not a number) ask for nothing. Of
    an element that is named twice the last value counts, and two changes cancel.

    Raises ValueError for unknown keys, elements and values, TypeError for a value of the wrong form.
    """
    grid = system.grid if isinstance(system, System) else system
    if not isinstance(keys, Mapping):
        raise TypeError(f"an action is made of a mapping of keys to values, not of {type(keys).__name__}")
    unknown = sorted(set(map(str, keys)) - set(_READERS) - set(_WARNINGS))
    if unknown:
        raise ValueError(f"unknown key(s) {unknown} in an action; choose from {[*_READERS, *_WARNINGS]}")
    parts = [read(grid, key, keys[key]) for key, read in _READERS.items() if key in keys]
    rules = system.attention if isinstance(system, System) else AttentionRules()
    parts += [_warn(rules, key, keys[key]) for key in _WARNINGS if key in keys]
    return canonical(concatenate(parts))


# ---------------------------------------------------------------------------------------------------- forms of values
def _assigned(key: str, elements: _Elements, value: Any) -> dict[int, float]:
    """Element -> value out of any of the accepted forms; the last mention of an element wins."""
    n = len(elements.names)
    if isinstance(value, Mapping):
        return {elements.number(key, name): _number(key, number) for name, number in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], (tuple, list)):
        return {elements.number(key, value[0]): _number(key, value[1])}
    if (isinstance(value, np.ndarray) and value.ndim == 1) or _all_numbers(value):
        if len(value) != n:
            raise ValueError(
                f"{key}: a vector of {len(value)} values was given, one per {elements.noun} ({n}) is needed"
            )
        return {i: _number(key, number) for i, number in enumerate(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        pairs = [pair for pair in value if isinstance(pair, (tuple, list)) and len(pair) == 2]
        if len(pairs) == len(value):
            return {elements.number(key, name): _number(key, number) for name, number in pairs}
    raise TypeError(
        f"{key}: {value!r} is none of the accepted forms: a vector over all {n} elements ({elements.noun}), "
        f"(element, value), [(element, value), ...], {{element: value, ...}}"
    )


def _listed(key: str, elements: _Elements, value: Any) -> list[int]:
    """Elements out of a boolean vector, one element, or a list of elements."""
    if isinstance(value, (str, int, np.integer)) and not isinstance(value, bool):
        return [elements.number(key, value)]
    if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str):
        raise TypeError(f"{key}: {value!r} is neither a boolean vector nor a {elements.noun} nor a list of them")
    if len(value) and all(isinstance(flag, (bool, np.bool_)) for flag in value):
        if len(value) != len(elements.names):
            raise ValueError(
                f"{key}: {len(value)} flags were given, one per {elements.noun} ({len(elements.names)}) is needed"
            )
        return [int(i) for i in np.flatnonzero(value)]
    times = Counter(elements.number(key, given) for given in value)
    return sorted(element for element, n in times.items() if n % 2)


def _all_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, (int, float, np.number)) for v in value)


def _number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{key}: {value!r} is not a number") from None


def _commands(kind: Kind, elements: _Elements, values: Mapping[int, float]) -> Commands:
    index = np.array([elements.position[i] for i in values], dtype=np.int32)
    return Commands(np.full(len(values), kind, dtype=np.int8), index, np.array(list(values.values()), dtype=np.float64))


# ------------------------------------------------------------------------------------------------ one reader per key
def _lines(grid: Grid) -> _Elements:
    return _Elements("line", grid.name_line, np.arange(grid.n_line))


def _gens(grid: Grid) -> _Elements:
    return _Elements("generator", grid.name_gen, np.arange(grid.n_gen))


def _places(grid: Grid) -> dict[str, _Elements]:
    """The sub-keys that name single places of the topology vector."""
    return {
        "loads_id": _Elements("load", grid.name_load, grid.load_pos_topo_vect),
        "generators_id": _Elements("generator", grid.name_gen, grid.gen_pos_topo_vect),
        "lines_or_id": _Elements("line", grid.name_line, grid.line_or_pos_topo_vect),
        "lines_ex_id": _Elements("line", grid.name_line, grid.line_ex_pos_topo_vect),
        "storages_id": _Elements("storage", grid.name_storage, grid.storage_pos_topo_vect),
    }


def _whole(grid: Grid) -> _Elements:
    """Every place of the topology vector, by its number."""
    places = np.arange(grid.dim_topo)
    return _Elements("place of the topology vector", tuple(map(str, places)), places)


def _set_line_status(grid: Grid, key: str, value: Any) -> Commands:
    status = _assigned(key, _lines(grid), value)
    wrong = sorted({v for v in status.values() if v not in (-1, 0, 1)})
    if wrong:
        raise ValueError(f"{key}: status {wrong[0]:g} does not exist; give 1 (connect), -1 (disconnect) or 0 (leave)")
    return _commands(Kind.SET_LINE_STATUS, _lines(grid), {i: v for i, v in status.items() if v})


def _change_line_status(grid: Grid, key: str, value: Any) -> Commands:
    return _commands(Kind.CHANGE_LINE_STATUS, _lines(grid), dict.fromkeys(_listed(key, _lines(grid), value), 1.0))


def _set_bus(grid: Grid, key: str, value: Any) -> Commands:
    busbars = _by_place(grid, key, value, _assigned)
    wrong = sorted({v for v in busbars.values() if v not in range(-1, grid.n_busbar + 1)})
    if wrong:
        raise ValueError(
            f"{key}: busbar {wrong[0]:g} does not exist; give 1 to {grid.n_busbar}, -1 (disconnect) or 0 (leave)"
        )
    return _commands(Kind.SET_BUS, _whole(grid), {i: v for i, v in busbars.items() if v})


def _change_bus(grid: Grid, key: str, value: Any) -> Commands:
    def flagged(key: str, elements: _Elements, value: Any) -> dict[int, float]:
        return dict.fromkeys(_listed(key, elements, value), 1.0)

    return _commands(Kind.CHANGE_BUS, _whole(grid), _by_place(grid, key, value, flagged))


def _by_place(
    grid: Grid, key: str, value: Any, read: Callable[[str, _Elements, Any], dict[int, float]]
) -> dict[int, float]:
    """Place -> value, out of sub-keys or of a vector over the whole topology."""
    if not isinstance(value, Mapping):
        return read(key, _whole(grid), value)
    places = _places(grid)
    allowed = [*places, "substations_id", "topo_vect_id"]
    found: dict[int, float] = {}
    for sub_key, part in value.items():
        name = f"{key}[{sub_key!r}]"
        if sub_key == "substations_id":
            found |= _of_substations(grid, name, part, read)
        elif sub_key == "topo_vect_id":
            found |= read(name, _whole(grid), part)
        elif sub_key in places:
            elements = places[sub_key]
            found |= {int(elements.position[i]): v for i, v in read(name, elements, part).items()}
        else:
            raise ValueError(f"{key}: unknown sub-key {sub_key!r}; choose from {allowed}")
    return found


def _of_substations(
    grid: Grid, key: str, value: Any, read: Callable[[str, _Elements, Any], dict[int, float]]
) -> dict[int, float]:
    """Place -> value out of (substation, vector over its elements), or a list of such pairs."""
    pairs = [value] if isinstance(value, tuple) and len(value) == 2 else value
    if isinstance(pairs, Mapping):
        pairs = list(pairs.items())
    if not isinstance(pairs, Sequence) or not all(isinstance(p, (tuple, list)) and len(p) == 2 for p in pairs):
        raise TypeError(f"{key}: give (substation, vector over its elements) or a list of such pairs, not {value!r}")
    found: dict[int, float] = {}
    for given, vector in pairs:
        sub = _Elements("substation", grid.name_sub, np.arange(grid.n_sub)).number(key, given)
        places = np.arange(grid.sub_start[sub], grid.sub_start[sub + 1])
        names = tuple(f"element {i} of {grid.name_sub[sub]}" for i in range(len(places)))
        vector = vector if isinstance(vector, np.ndarray) else list(vector)
        read_off = read(key, _Elements(f"element of substation {grid.name_sub[sub]}", names, places), vector)
        found |= {int(places[i]): v for i, v in read_off.items()}
    return found


def _redispatch(grid: Grid, key: str, value: Any) -> Commands:
    asked = {i: v for i, v in _assigned(key, _gens(grid), value).items() if v and not np.isnan(v)}
    return _commands(Kind.REDISPATCH, _gens(grid), asked)


def _set_storage(grid: Grid, key: str, value: Any) -> Commands:
    storages = _Elements("storage", grid.name_storage, np.arange(grid.n_storage))
    asked = _assigned(key, storages, value)
    if any(np.isnan(v) for v in asked.values()):
        raise ValueError(f"{key}: a power is not a number; give MW, positive to charge")
    return _commands(Kind.SET_STORAGE, storages, {i: v for i, v in asked.items() if v})


def _curtail(grid: Grid, key: str, value: Any) -> Commands:
    asked = _assigned(key, _gens(grid), value)
    if any(np.isnan(v) for v in asked.values()):
        raise ValueError(f"{key}: a limit is not a number; give a ratio of pmax in [0, 1], 1 releases")
    return _commands(Kind.CURTAIL, _gens(grid), {i: v for i, v in asked.items() if v != -1})


_READERS: dict[str, Callable[[Grid, str, Any], Commands]] = {
    "set_line_status": _set_line_status,
    "change_line_status": _change_line_status,
    "set_bus": _set_bus,
    "change_bus": _change_bus,
    "redispatch": _redispatch,
    "curtail": _curtail,
    "set_storage": _set_storage,
}
"""In the order of the kinds."""

_WARNINGS = {"raise_alarm": Kind.RAISE_ALARM, "raise_alert": Kind.RAISE_ALERT}
"""The kinds that follow."""


def _warn(rules: AttentionRules, key: str, value: Any) -> Commands:
    noun, names = ("alarm area", rules.areas) if key == "raise_alarm" else ("alertable line", rules.alert_lines)
    elements = _Elements(noun, names, np.arange(len(names)))
    return _commands(_WARNINGS[key], elements, dict.fromkeys(_listed(key, elements, value), 1.0))


# ---------------------------------------------------------------------------------------------------- in words
def in_words(system: System | Grid, commands: Commands) -> str:
    """What the commands ask for, as a phrase."""
    grid = system.grid if isinstance(system, System) else system
    elsewhere = (Kind.SET_BUS, Kind.CHANGE_BUS, *_WARNINGS.values())
    phrases = [
        _phrase(grid, Kind(int(kind)), int(index), float(value))
        for kind, index, value in zip(*commands, strict=True)
        if kind not in elsewhere
    ]
    phrases += _busbar_phrases(grid, commands)
    if isinstance(system, System):
        phrases += _warning_phrases(system.attention, commands)
    return "; ".join(phrases) or "do nothing"


def _phrase(grid: Grid, kind: Kind, index: int, value: float) -> str:
    if kind == Kind.SET_LINE_STATUS:
        return f"{'connect' if value > 0 else 'disconnect'} line {grid.name_line[index]}"
    if kind == Kind.CHANGE_LINE_STATUS:
        return f"switch line {grid.name_line[index]}"
    if kind == Kind.REDISPATCH:
        return f"redispatch {grid.name_gen[index]} by {value:+g} MW"
    if kind == Kind.CURTAIL:
        return f"release {grid.name_gen[index]}" if value == 1 else f"cap {grid.name_gen[index]} at {value:.0%} of pmax"
    return f"{'charge' if value > 0 else 'discharge'} {grid.name_storage[index]} with {abs(value):g} MW"


def _warning_phrases(rules: AttentionRules, commands: Commands) -> list[str]:
    alarms = [rules.areas[i] for i in commands.index[commands.kind == Kind.RAISE_ALARM]]
    alerts = [rules.alert_lines[i] for i in commands.index[commands.kind == Kind.RAISE_ALERT]]
    return [f"raise an alarm for {name}" for name in alarms] + [f"alert to an attack on {name}" for name in alerts]


def _busbar_phrases(grid: Grid, commands: Commands) -> list[str]:
    """One phrase per substation: which elements go to which busbar."""
    names = place_names(grid)
    groups: dict[tuple[int, str], list[str]] = {}
    for kind, place, value in zip(*commands, strict=True):
        if kind in (Kind.SET_BUS, Kind.CHANGE_BUS):
            where = "other busbar" if kind == Kind.CHANGE_BUS else "out" if value < 0 else f"busbar {int(value)}"
            groups.setdefault((int(grid.topology_layout.sub[place]), where), []).append(names[place])
    subs = sorted({sub for sub, _ in groups})
    return [
        f"{grid.name_sub[sub]}: "
        + " | ".join(f"{where} {', '.join(n)}" for (s, where), n in groups.items() if s == sub)
        for sub in subs
    ]


def place_names(grid: Grid) -> list[str]:
    """(dim_topo) names of what stands at each place of the topology vector."""
    names = [""] * grid.dim_topo
    for positions, suffix, elements in (
        (grid.line_or_pos_topo_vect, " (or)", grid.name_line),
        (grid.line_ex_pos_topo_vect, " (ex)", grid.name_line),
        (grid.gen_pos_topo_vect, "", grid.name_gen),
        (grid.load_pos_topo_vect, "", grid.name_load),
        (grid.storage_pos_topo_vect, "", grid.name_storage),
    ):
        for position, name in zip(positions, elements, strict=True):
            names[position] = name + suffix
    return names


# ---------------------------------------------------------------------------------------------------- whose they are
def split_by_zone(system: System, commands: Commands | None) -> list[Commands]:
    """The commands of each zone: each goes to the zone that owns its element.

    A line's status goes to the origin's zone, or where that one may not switch it, to the extremity's; a warning to the
    first zone that may raise it.
    """
    if commands is None:
        return [NO_COMMANDS] * system.n_zone
    zones, commands = system.zones, checked(system, commands)
    lines = np.arange(system.grid.n_line)
    switcher = np.where(zones.may_switch[zones.line_or, lines], zones.line_or, zones.line_ex)
    owners = {
        Kind.SET_LINE_STATUS: switcher,
        Kind.CHANGE_LINE_STATUS: switcher,
        Kind.SET_BUS: zones.place,
        Kind.CHANGE_BUS: zones.place,
        Kind.REDISPATCH: zones.gen,
        Kind.CURTAIL: zones.gen,
        Kind.SET_STORAGE: zones.storage,
        Kind.RAISE_ALARM: system.tables.may_alarm.argmax(axis=0),
        Kind.RAISE_ALERT: system.tables.may_alert.argmax(axis=0),
    }
    owner = np.array([owners[Kind(int(k))][i] for k, i in zip(commands.kind, commands.index, strict=True)], dtype=int)
    return [Commands(*(column[owner == zone] for column in commands)) for zone in range(system.n_zone)]
