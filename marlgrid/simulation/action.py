"""What the zones ask for, and what the opponent does.

An action is a list of commands (kind, element, value): one list per zone and environment, stored end to end. A choice
from a table of ready actions is then two numbers (where its commands begin and end), the joint action of any number of
zones needs no merging, and one judge serves single actions, batches and masks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Kind(IntEnum):
    """What a command does; its element is a line, a place in the topology vector, a generator or a storage."""

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
    """(n_env, n_zone) int32; the commands of one zone stand in the order of their kinds."""
    last: np.ndarray
    """(n_env, n_zone) int32."""


class Attack(NamedTuple):
    """What the opponent starts in this step."""

    duration: np.ndarray
    """(n_env, n_line) int32 steps for which the line is put out; 0 leaves it alone."""


NO_COMMANDS = Commands(np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.int32), np.zeros(0))


def do_nothing(n_env: int, n_zone: int) -> Action:
    """Every zone of every environment asks for nothing."""
    nothing = np.zeros((n_env, n_zone), dtype=np.int32)
    return Action(NO_COMMANDS, nothing, nothing)


def no_attack(n_env: int, n_line: int) -> Attack:
    """The opponent starts nothing."""
    return Attack(np.zeros((n_env, n_line), dtype=np.int32))


def joint(asked: list[list[Commands]]) -> Action:
    """The joint action of ``asked[env][zone]``."""
    flat = [commands for row in asked for commands in row]
    sizes = np.array([len(commands.kind) for commands in flat], dtype=np.int32)
    ends = np.cumsum(sizes, dtype=np.int32).reshape(len(asked), -1)
    return Action(concatenate(flat), ends - sizes.reshape(ends.shape), ends)


def concatenate(parts: list[Commands]) -> Commands:
    """Several lists of commands, end to end."""
    return Commands(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else NO_COMMANDS
