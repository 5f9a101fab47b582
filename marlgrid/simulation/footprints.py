"""Actions grouped by what the judge tells apart, so that it is asked once for all that it cannot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marlgrid.simulation.action import Commands, Kind, concatenate


class Footprints(NamedTuple):
    """Actions grouped so that the judge always agrees within a group: only busbars or ratios that they set differ, or
    whether they connect or disconnect a line."""

    commands: Commands
    start: np.ndarray
    """(n_group + 1,) int32 commands ``start[g]`` to ``start[g + 1]`` are one action of group g."""
    zone: np.ndarray
    """(n_group,) int32."""
    group: np.ndarray
    """(n_action,) int32 group of each action."""


def footprints(actions: list[Commands], zone: np.ndarray) -> Footprints:
    """Groups ``actions``, asked by ``zone`` (n_action,)."""
    groups: dict[bytes, int] = {}
    chosen, group = [], np.empty(len(actions), dtype=np.int32)
    for a, commands in enumerate(actions):
        columns = (zone[a], commands.kind, commands.index, _told_apart(commands))
        key = b"".join(column.tobytes() for column in columns)
        if key not in groups:
            groups[key] = len(groups)
            chosen.append(a)
        group[a] = groups[key]
    picked = [actions[a] for a in chosen]
    start = np.concatenate([[0], np.cumsum([len(commands.kind) for commands in picked])]).astype(np.int32)
    return Footprints(concatenate(picked), start, zone[chosen].astype(np.int32), group)


def _told_apart(commands: Commands) -> np.ndarray:
    """The values as far as the judge tells them apart."""
    kind, value = commands.kind, commands.value
    if len(kind) == 1 and kind[0] == Kind.SET_LINE_STATUS:  # nothing contradicts it
        return np.abs(value)
    within = (kind == Kind.CURTAIL) & (value >= 0) & (value <= 1)
    return np.where(within, 1.0, np.where(kind == Kind.SET_BUS, np.sign(value), value))
