"""What the zones ask for, and what the opponent does.

An action is a list of commands (kind, element, value): one list per zone and environment, stored end to end. A choice
from a table of ready actions is then two numbers (where its commands begin and end), the joint action of any number of
zones needs no merging, and one judge serves single actions, batches and masks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from marlgrid.compiled import kernel


class Kind(IntEnum):
    """What a command does; its element is a line, a place in the topology vector, a generator, a storage, an area."""

    SET_LINE_STATUS = 0
    """line; +1 connects, -1 disconnects."""
    CHANGE_LINE_STATUS = 1
    """line; toggles."""
    SET_BUS = 2
    """place; -1 disconnects, 1, 2, ... assigns a busbar."""
    CHANGE_BUS = 3
    """place; swaps busbar 1 and 2 (only with two busbars)."""
    REDISPATCH = 4
    """generator; MW added to its target."""
    CURTAIL = 5
    """generator; cap as a ratio of pmax, 1 releases."""
    SET_STORAGE = 6
    """storage; MW, charging positive, for this step."""
    RAISE_ALARM = 7
    """alarm area; warns the operators of it in this step."""
    RAISE_ALERT = 8
    """alertable line (by its number among these); warns of an attack on it in this step."""


class Commands(NamedTuple):
    """Commands stored end to end."""

    kind: np.ndarray
    """(n_command,) int8 ``Kind``."""
    index: np.ndarray  # type: ignore[assignment]
    """(n_command,) int32."""
    value: np.ndarray
    """(n_command,) float64."""


class Action(NamedTuple):
    """The joint action of a batch: commands ``first[e, z]`` to ``last[e, z]`` (excluded) are what zone z asks in e."""

    commands: Commands
    first: np.ndarray
    """(n_env, n_zone) int32; the commands of one zone are ``canonical``."""
    last: np.ndarray
    """(n_env, n_zone) int32."""


class SubstationAttack(NamedTuple):
    """The part of an attack that concerns substations."""

    duration: np.ndarray
    """(n_env, n_sub) int32 steps for which elements of the substation are held on ``bus``; 0 leaves it alone."""
    bus: np.ndarray
    """(n_env, dim_topo) int32 busbar 1, 2, ... of each element of an attacked substation; 0 leaves it alone."""


class Attack(NamedTuple):
    """What the opponent starts in this step."""

    duration: np.ndarray
    """(n_env, n_line) int32 steps for which the line is put out; 0 leaves it alone."""
    subs: SubstationAttack | None = None
    """None: no substation is attacked."""

    def rows(self, rows: np.ndarray) -> Attack:
        """The attacks of some environments."""
        subs = None if self.subs is None else SubstationAttack(*(array[rows] for array in self.subs))
        return Attack(self.duration[rows], subs)

    def where(self, begun: np.ndarray) -> Attack:
        """Those of the environments ``begun`` (n_env,) bool; none elsewhere."""
        one = begun[:, None]
        subs = None if self.subs is None else SubstationAttack(*(array * one for array in self.subs))
        return Attack(self.duration * one, subs)


NO_COMMANDS = Commands(np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.int32), np.zeros(0))


def do_nothing(n_env: int, n_zone: int) -> Action:
    """Every zone of every environment asks for nothing."""
    nothing = np.zeros((n_env, n_zone), dtype=np.int32)
    return Action(NO_COMMANDS, nothing, nothing)


def no_attack(n_env: int, n_line: int) -> Attack:
    """The opponent starts nothing."""
    return Attack(np.zeros((n_env, n_line), dtype=np.int32))


def joint(asked: list[list[Commands]]) -> Action:
    """The joint action of ``asked[env][zone]``, each list of commands as ``canonical`` makes it."""
    flat = [canonical(commands) for row in asked for commands in row]
    sizes = np.array([len(commands.kind) for commands in flat], dtype=np.int32)
    ends = np.cumsum(sizes, dtype=np.int32).reshape(len(asked), -1)
    return Action(concatenate(flat), ends - sizes.reshape(ends.shape), ends)


def concatenate(parts: list[Commands]) -> Commands:
    """Several lists of commands, end to end."""
    return Commands(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else NO_COMMANDS


# ---------------------------------------------------------------------------------------------------- one value each
def canonical(commands: Commands) -> Commands:
    """The same commands in the order of kind and element, at most one per kind and element.

    An action has one value per element, as the vectors of Grid2Op's actions: where a list names an element twice, the
    last value counts, and two changes cancel.
    """
    if _is_canonical(commands.kind, commands.index):
        return commands
    asked: dict[tuple[int, int], float] = {}
    for kind, index, value in zip(*commands, strict=True):
        if (kind, index) in asked and kind in (Kind.CHANGE_LINE_STATUS, Kind.CHANGE_BUS):
            del asked[kind, index]
        else:
            asked[kind, index] = value
    return _listed(asked)


def add(left: Commands, right: Commands) -> Commands:
    """First ``left``, then ``right``, as one action: Grid2Op's ``+`` of actions, which is not commutative.

    Redispatch and storage power add up, the cap on the right wins. On a line's status or an element's busbar the right
    value wins over the left one and over a change; two changes cancel; a change on the right inverts a value on the
    left (connect and disconnect, busbars 1 and 2). Unlike there, what contradicts itself in one of them still does
    so in the sum.
    """
    total, other = _by_element(canonical(left)), _by_element(canonical(right))
    for (kind, index), value in other.items():
        if kind in (Kind.REDISPATCH, Kind.SET_STORAGE):
            total[kind, index] = total.get((kind, index), 0.0) + value
        elif kind not in _SWITCHES:
            total[kind, index] = value
    for setting, change in _PAIRS:
        for index in {index for kind, index in other if kind in (setting, change)}:
            was, toggled = total.pop((setting, index), 0.0), total.pop((change, index), None) is not None
            toggles = (change, index) in other
            wanted = other.get((setting, index), 0.0)
            if wanted:
                was, toggled = wanted, toggles
            elif toggles and not (was and toggled):
                invertible = 0 < was <= 2 or (was < 0 and setting == Kind.SET_LINE_STATUS)
                toggled = not (toggled or invertible)
                was = (-was if setting == Kind.SET_LINE_STATUS else 3 - was) if invertible else was
            if was:
                total[setting, index] = was
            if toggled:
                total[change, index] = 1.0
    return _listed({key: value for key, value in total.items() if value or key[0] == Kind.CURTAIL})


_PAIRS = ((Kind.SET_LINE_STATUS, Kind.CHANGE_LINE_STATUS), (Kind.SET_BUS, Kind.CHANGE_BUS))
_SWITCHES = {kind for pair in _PAIRS for kind in pair}


def _by_element(commands: Commands) -> dict[tuple[int, int], float]:
    return {(int(kind), int(index)): float(value) for kind, index, value in zip(*commands, strict=True)}


def _listed(asked: dict[tuple[int, int], float]) -> Commands:
    """Commands out of values by kind and element."""
    keys = sorted(asked)
    kind = np.array([kind for kind, _ in keys], dtype=np.int8)
    index = np.array([index for _, index in keys], dtype=np.int32)
    return Commands(kind, index, np.array([asked[key] for key in keys], dtype=np.float64))


@kernel
def _is_canonical(kind, index):  # pragma: no cover
    for c in range(1, len(kind)):
        if kind[c] < kind[c - 1] or (kind[c] == kind[c - 1] and index[c] <= index[c - 1]):
            return False
    return True
