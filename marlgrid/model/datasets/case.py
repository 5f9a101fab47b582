"""A case by its name, folder or network: what ``marlgrid.parallel_env(case, ...)`` accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marlgrid.model.attention import AttentionRules
from marlgrid.model.datasets.builtin import BUILTIN_CASES, builtin_case, builtin_grid
from marlgrid.model.datasets.customising import Case, changed, zone_number
from marlgrid.model.generator import GeneratedSeries
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import RuleSpec
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.model.zones import Zones, ZoneSpec, make_zones

if TYPE_CHECKING:
    from pandapower import pandapowerNet

DIFFICULTIES = ("easy", "default", "hard")
SIMBENCH = "simbench:"
LIMIT_FACTOR = {"easy": 1.1, "default": 1.0, "hard": 0.95}
"""On the thermal limits of networks that have no calibrated ones."""


def load_case(
    case: str | Path | pandapowerNet | tuple[System, TimeSeries],
    *,
    zones: ZoneSpec | None = None,
    tie_lines: str | None = None,
    parameters: Parameters | Mapping[str, Any] | None = None,
    difficulty: str = "default",
    n_busbar: int = 2,
    attack: AttackRules | Mapping[str, Any] | None = None,
    rules: RuleSpec | None = None,
    attention: AttentionRules | Mapping[str, Any] | None = None,
) -> Case:
    """The system and time series of a case.

    Args:
        case: a built-in name (``"case5"``, ``"case14"``, ``"case118"``), a Grid2Op environment folder or the name of
            one that grid2op ships, a SimBench code (``"simbench:1-HV-mixed--0-no_sw"``), a pandapower network, or a
            pair (System, TimeSeries) of your own.
        zones: see ``make_zones``; ``None`` takes the zones of the case (a network that has none: 2, 3 or 8 by size).
        tie_lines: who may switch a line between two zones: ``"both"`` of them, the ``"origin"`` zone, or ``"none"``;
            ``None`` is both, or what the zones of a pair say.
        parameters: other parameters than the case's, or changes to them.
        difficulty: ``"easy"``, ``"default"`` or ``"hard"`` scale the limits; a Grid2Op folder has its own levels.
        n_busbar: busbars per substation (a pair keeps its own).
        attack: other attack rules than the case's, or changes to them.
        rules: other rules than the case's, or changes to them, see ``rule_set``.
        attention: other alarms and alerts than the case's, or changes to them (built-in cases have none).

    Raises:
        ValueError: unknown name, difficulty, parameter or zone; the message lists what is allowed. Or data that
            cannot be simulated: all that is wrong with it, see ``System.problems``.
        FileNotFoundError: a folder without the files of a Grid2Op environment.
        TypeError: ``case`` is something else.
    """
    system, series = _found(case, Zoning(zones, tie_lines), difficulty, n_busbar)
    system = changed(system, parameters, attack, rules, attention)
    wrong = system.problems()
    if wrong:
        raise ValueError(f"the case cannot be simulated: {'; '.join(wrong)}")
    return Case(system, series)


class Zoning(NamedTuple):
    """The zones that were asked for; None leaves it to the case."""

    zones: ZoneSpec | None
    tie_lines: str | None

    def of(self, grid: Grid, own: ZoneSpec | Zones, tie_lines: str = "both") -> Zones:
        """Those zones of a grid, or the case's ``own``."""
        spec = own if self.zones is None else self.zones
        return make_zones(grid, spec, tie_lines if self.tie_lines is None else self.tie_lines)


def _found(case: Any, zoning: Zoning, difficulty: str, n_busbar: int) -> Case:
    """The case as it is, but for its zones."""
    if isinstance(case, tuple):
        return _own(case, zoning, difficulty)
    if isinstance(case, str) and case in BUILTIN_CASES:
        return _builtin(case, zoning, difficulty, n_busbar)
    if isinstance(case, str) and case.startswith(SIMBENCH):
        return _simbench(case.removeprefix(SIMBENCH), zoning, difficulty, n_busbar)
    if isinstance(case, str | Path):
        return _folder(case, zoning, difficulty, n_busbar)
    if type(case).__name__ == "pandapowerNet":
        return _network(case, zoning, difficulty, n_busbar)
    raise TypeError(
        f"a case is a {type(case).__name__}; give a built-in name {list(BUILTIN_CASES)}, a Grid2Op folder or name, "
        f"'{SIMBENCH}<code>', a pandapower network, or (System, TimeSeries)"
    )


# ---------------------------------------------------------------------- kinds of cases
def _builtin(name: str, zoning: Zoning, difficulty: str, n_busbar: int) -> Case:
    data = builtin_case(name)
    grid = _with_limits(_grid(name, n_busbar), _factor(data.settings["difficulty"], difficulty))
    households = np.array([float(data.loads[load]["households"]) for load in grid.name_load])
    series = GeneratedSeries(
        grid, households=households, maintenance_lines=data.marked("maintenance"), **data.settings["series"]
    )
    zones = zoning.of(grid, data.zones)
    return Case(System(grid, zones, data.parameters, data.attack, delta_time=series.delta_time), series)


_grid = lru_cache(builtin_grid)


def _network(net: pandapowerNet, zoning: Zoning, difficulty: str, n_busbar: int) -> Case:
    from marlgrid.model.datasets.pandapower_net import grid_from_pandapower

    grid = grid_from_pandapower(net, name=str(net.name or "network"), n_busbar=n_busbar)
    limited = _with_limits(grid, _factor(LIMIT_FACTOR, difficulty))
    return Case(System(limited, zoning.of(limited, zone_number(grid)), Parameters()), GeneratedSeries(grid))


def _simbench(code: str, zoning: Zoning, difficulty: str, n_busbar: int) -> Case:
    from marlgrid.model.datasets.simbench_case import attack_rules, feeding_areas, simbench_case

    grid, series = simbench_case(code, n_busbar)
    grid = _with_limits(grid, _factor(LIMIT_FACTOR, difficulty))
    zones = zoning.of(grid, feeding_areas(grid))
    return Case(System(grid, zones, Parameters(), attack_rules(grid), delta_time=series.delta_time), series)


def _folder(path_or_name: str | Path, zoning: Zoning, difficulty: str, n_busbar: int) -> Case:
    from marlgrid.model.datasets.grid2op_folder import find_folder, folder_names, load_folder

    try:
        folder = find_folder(path_or_name)
    except FileNotFoundError:
        if Path(path_or_name).is_dir():
            raise
        raise ValueError(
            f"unknown case {str(path_or_name)!r}; choose from the built-in {list(BUILTIN_CASES)}, from grid2op's "
            f"{folder_names()}, from SimBench's ('{SIMBENCH}1-HV-mixed--0-no_sw'), or give the path of a Grid2Op "
            "environment folder that exists"
        ) from None
    return load_folder(folder, zoning.of, difficulty, n_busbar)


def _own(pair: tuple[System, TimeSeries], zoning: Zoning, difficulty: str) -> Case:
    """The user's own pair."""
    if len(pair) != 2 or not isinstance(pair[0], System):
        raise TypeError(f"a case is a tuple of {[type(part).__name__ for part in pair]}; give (System, TimeSeries)")
    system, series = pair
    grid = _with_limits(system.grid, _factor(LIMIT_FACTOR, difficulty))
    zones = zoning.of(grid, system.zones, system.zones.tie_lines)
    return Case(replace(system, grid=grid, zones=zones), series)


def _factor(factors: Mapping[str, float], difficulty: str) -> float:
    if difficulty not in factors:
        raise ValueError(f"unknown difficulty {difficulty!r}; choose from {list(factors)}")
    return factors[difficulty]


def _with_limits(grid: Grid, factor: float) -> Grid:
    """Other thermal limits, where they are other."""
    return grid if factor == 1.0 else replace(grid, thermal_limit=grid.thermal_limit * factor)
