"""Commands that came from outside: whether they name what the grid has. What they may do is for the judge."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.grid import Grid
from marlgrid.simulation.action import Commands, Kind

ELEMENTS = {
    Kind.SET_LINE_STATUS: ("n_line", "line"),
    Kind.CHANGE_LINE_STATUS: ("n_line", "line"),
    Kind.SET_BUS: ("dim_topo", "place of the topology vector"),
    Kind.CHANGE_BUS: ("dim_topo", "place of the topology vector"),
    Kind.REDISPATCH: ("n_gen", "generator"),
    Kind.CURTAIL: ("n_gen", "generator"),
    Kind.SET_STORAGE: ("n_storage", "storage"),
}
"""What a command of each kind names: how the grid counts it, and its noun."""
DTYPES = (np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.float64))


def checked(grid: Grid, commands: Commands) -> Commands:
    """The same. Raises ValueError for unequal columns, unknown kinds or elements, TypeError for dtypes."""
    sizes = {len(column) for column in commands}
    if len(sizes) > 1:
        raise ValueError(f"commands have columns of lengths {[*map(len, commands)]}: give one value each")
    if tuple(column.dtype for column in commands) != DTYPES:
        raise TypeError(f"commands have columns of {[str(c.dtype) for c in commands]}: give int8, int32 and float64")
    counts = np.array([getattr(grid, count) for count, _ in ELEMENTS.values()])
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


@kernel
def _first_unknown(kind, index, counts):  # pragma: no cover
    for c in range(len(kind)):
        if not 0 <= kind[c] < len(counts) or not 0 <= index[c] < counts[kind[c]]:
            return c
    return -1
