"""Commands that came from outside: whether they name what the system has. What they may do is for the judge."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.system import System
from marlgrid.simulation.action import Commands, Kind

ELEMENTS = {
    Kind.SET_LINE_STATUS: ("n_line", "line"),
    Kind.CHANGE_LINE_STATUS: ("n_line", "line"),
    Kind.SET_BUS: ("dim_topo", "place of the topology vector"),
    Kind.CHANGE_BUS: ("dim_topo", "place of the topology vector"),
    Kind.REDISPATCH: ("n_gen", "generator"),
    Kind.CURTAIL: ("n_gen", "generator"),
    Kind.SET_STORAGE: ("n_storage", "storage"),
    Kind.RAISE_ALARM: ("dim_alarms", "alarm area"),
    Kind.RAISE_ALERT: ("dim_alerts", "alertable line"),
}
"""What a command of each kind names: how the grid (or the system) counts it, and its noun."""
DTYPES = (np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.float64))


def checked(system: System, commands: Commands) -> Commands:
    """The same. Raises ValueError for unequal columns, unknown kinds or elements, TypeError for dtypes."""
    check_columns(commands)
    counts = np.array([_count(system, name) for name, _ in ELEMENTS.values()])
    wrong = _first_unknown(commands.kind, commands.index, counts)
    if wrong >= 0:
        kind, index = int(commands.kind[wrong]), int(commands.index[wrong])
        if kind not in ELEMENTS:
            raise ValueError(f"command of kind {kind}: choose from {[f'{k.name} ({k:d})' for k in Kind]}")
        raise ValueError(
            f"{Kind(kind).name.lower()}: there is no {ELEMENTS[Kind(kind)][1]} {index}; numbers go from 0 to "
            f"{counts[kind] - 1}"
        )
    return commands


def check_columns(commands: Commands) -> None:
    """Raises TypeError unless the columns are vectors of the right dtypes, ValueError for unequal lengths."""
    if not all(isinstance(column, np.ndarray) and column.ndim == 1 for column in commands):
        raise TypeError(f"commands are made of {[type(c).__name__ for c in commands]}: give three vectors of numpy")
    if len({len(column) for column in commands}) > 1:
        raise ValueError(f"commands have columns of lengths {[*map(len, commands)]}: give one value each")
    if tuple(column.dtype for column in commands) != DTYPES:
        raise TypeError(f"commands have columns of {[str(c.dtype) for c in commands]}: give int8, int32 and float64")


def _count(system: System, name: str) -> int:
    return int(getattr(system if name.startswith("dim_al") else system.grid, name))


@kernel
def _first_unknown(kind, index, counts):  # pragma: no cover
    for c in range(len(kind)):
        if not 0 <= kind[c] < len(counts) or not 0 <= index[c] < counts[kind[c]]:
            return c
    return -1
