"""How the grid stands when an episode begins, besides the first row: initial actions and the limits of an episode."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.action import NO_COMMANDS, Action, Commands, Kind, joint
from marlgrid.task.commands import make_action

METHODS = ("combine", "ignore")
ADDED = (Kind.REDISPATCH, Kind.SET_STORAGE)
"""What two actions ask of one element adds up; of the other kinds the later one counts."""
SETTING = (Kind.SET_LINE_STATUS, Kind.SET_BUS, Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE)
"""What has a meaning at a start."""


def opening(system: System, series: TimeSeries, scenario: np.ndarray, asked: Sequence[Any] | None) -> Action | None:
    """What is played as part of the start of each episode; None where nothing is.

    The scenario's own initial state (``init_state`` of the series, unless the parameters ignore it), and on top of it
    ``asked[env]``: keys as for ``make_action``, commands, or None. A mapping may say ``"method": "ignore"``: then the
    scenario's is left out, as in Grid2Op. Raises ValueError and TypeError for what is no action.
    """
    told = getattr(series, "init_state", None)
    known = told is not None and not system.parameters.ignore_initial_state_time_serie
    own = [told(number) if known and told is not None else None for number in scenario.tolist()]
    added = [None] * len(own) if asked is None else list(asked)
    if all(one is None for one in own + added):
        return None
    starts = [_joined(system.grid, first, second) for first, second in zip(own, added, strict=True)]
    if not any(len(commands.kind) for commands in starts):
        return None
    # no rule asks at a start whose element it is: the first zone stands for all
    return joint([[commands] + [NO_COMMANDS] * (system.n_zone - 1) for commands in starts])


def limits(grid: Grid, asked: Sequence[Any] | None) -> np.ndarray | None:
    """(n_env, n_line) A out of one entry per environment; None where all have the grid's.

    An entry is None, (n_line,) A, or a mapping from line names to A: lines that it does not name keep the grid's.
    """
    if asked is None or all(one is None for one in asked):
        return None
    return np.stack([_limits(grid, one) for one in asked])


def _limits(grid: Grid, asked: Any) -> np.ndarray:
    values = np.array(grid.thermal_limit, dtype=np.float64)
    if isinstance(asked, Mapping):
        unknown = sorted(set(map(str, asked)) - set(grid.name_line))
        if unknown:
            raise ValueError(f"thermal_limit: there is no line {unknown}; the grid has {list(grid.name_line)}")
        for name, amps in asked.items():
            values[grid.name_line.index(name)] = amps
    elif asked is not None:
        values = np.array(asked, dtype=np.float64)
    if values.shape != (grid.n_line,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"thermal_limit is {asked!r}: give A above 0 for each of the {grid.n_line} lines, or by name")
    return values


def _joined(grid: Grid, first: Any, second: Any) -> Commands:
    """Two initial actions as one: of what they ask of the same line or busbar, the second counts."""
    method = "combine"
    if isinstance(second, Mapping) and "method" in second:
        method = second["method"]
        second = {key: value for key, value in second.items() if key != "method"}
    if method not in METHODS:
        raise ValueError(f"the method of init_state is {method!r}, choose from {list(METHODS)}")
    before, after = _values(grid, None if method == "ignore" else first), _values(grid, second)
    for key in list(_overruled(grid, before, after)):
        before.pop(key, None)
    for key, value in after.items():
        before[key] = before.get(key, 0.0) + value if key[0] in ADDED else value
    kind, index = np.array(sorted(before), dtype=np.int64).reshape(-1, 2).T
    values = np.array([before[key] for key in sorted(before)], dtype=np.float64)
    return Commands(kind.astype(np.int8), index.astype(np.int32), values)


def _values(grid: Grid, action: Any) -> dict[tuple[int, int], float]:
    """Value by kind and element. What sets nothing has no meaning at a start: it is left out, with a warning."""
    if action is None:
        return {}
    commands = action if isinstance(action, Commands) else make_action(grid, action)
    sets = np.isin(commands.kind, SETTING)
    if not sets.all():
        warnings.warn(
            "an initial state can only set: changes of lines and busbars, and warnings, are left out", stacklevel=4
        )
    rows = zip(commands.kind[sets], commands.index[sets], commands.value[sets], strict=True)
    return {(int(kind), int(index)): float(value) for kind, index, value in rows}


def _overruled(
    grid: Grid, before: Mapping[tuple[int, int], float], after: Mapping[tuple[int, int], float]
) -> Iterator[tuple[int, int]]:
    """Keys of ``before`` that contradict ``after``: all on a line it takes out, what is out on a line it puts in."""
    layout = grid.topology_layout
    for (kind, index), value in after.items():
        line = index if kind == Kind.SET_LINE_STATUS else int(layout.line[index]) if kind == Kind.SET_BUS else -1
        if line < 0:
            continue
        ends = ((int(Kind.SET_BUS), int(layout.line_or[line])), (int(Kind.SET_BUS), int(layout.line_ex[line])))
        for key in ((int(Kind.SET_LINE_STATUS), line), *ends):
            if key in before and (value < 0 or before[key] < 0):
                yield key
