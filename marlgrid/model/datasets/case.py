"""A case by its name, folder or network: what ``marlgrid.parallel_env(case, ...)`` accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marlgrid.model.attention import AttentionRules
from marlgrid.model.datasets.builtin import BUILTIN_CASES, builtin_case, builtin_grid
from marlgrid.model.datasets.customising import (
    Case,
    changed_attack,
    changed_attention,
    changed_parameters,
    zone_number,
)
from marlgrid.model.generator import GeneratedSeries
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import RuleSet, RuleSpec, rule_set
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.model.zones import ZoneSpec, make_zones

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
    tie_lines: str = "both",
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
        tie_lines: who may switch a line between two zones: ``"both"`` of them, the ``"origin"`` zone, or ``"none"``.
        parameters: other parameters than the case's, or changes to them.
        difficulty: ``"easy"``, ``"default"`` or ``"hard"`` scale the limits; a Grid2Op folder has its own levels.
        n_busbar: busbars per substation (a pair keeps its own).
        attack: other attack rules than the case's, or changes to them.
        rules: other rules than the case's, or changes to them, see ``rule_set``.
        attention: other alarms and alerts than the case's, or changes to them (built-in cases have none).

    Raises:
        ValueError: unknown name, difficulty, parameter or zone; the message lists what is allowed.
        FileNotFoundError: a folder without the files of a Grid2Op environment.
        TypeError: ``case`` is something else.
    """
    if isinstance(case, tuple):
        return _own(case, zones, tie_lines, parameters, difficulty, attack, rules, attention)
    options: dict[str, Any] = {
        "zones": zones,
        "tie_lines": tie_lines,
        "parameters": parameters,
        "difficulty": difficulty,
        "n_busbar": n_busbar,
        "attack": attack,
        "rules": rules,
        "attention": attention,
    }
    if isinstance(case, str) and case in BUILTIN_CASES:
        return _builtin(case, **options)
    if isinstance(case, str) and case.startswith(SIMBENCH):
        return _simbench(case.removeprefix(SIMBENCH), **options)
    if isinstance(case, str | Path):
        return _folder(case, options)
    if type(case).__name__ == "pandapowerNet":
        return _network(case, **options)
    raise TypeError(
        f"a case is a {type(case).__name__}; give a built-in name {list(BUILTIN_CASES)}, a Grid2Op folder or name, "
        f"'{SIMBENCH}<code>', a pandapower network, or (System, TimeSeries)"
    )


def _limit_factor(factors: Mapping[str, float], difficulty: str) -> float:
    if difficulty not in factors:
        raise ValueError(f"unknown difficulty {difficulty!r}; choose from {list(factors)}")
    return factors[difficulty]


# ---------------------------------------------------------------------- kinds of cases
def _builtin(
    name: str,
    zones: ZoneSpec | None,
    tie_lines: str,
    parameters: Parameters | Mapping[str, Any] | None,
    difficulty: str,
    n_busbar: int,
    attack: AttackRules | Mapping[str, Any] | None,
    rules: RuleSpec | None,
    attention: AttentionRules | Mapping[str, Any] | None,
) -> Case:
    data = builtin_case(name)
    factor = _limit_factor(data.settings["difficulty"], difficulty)
    grid = _grid(name, n_busbar)
    grid = replace(grid, thermal_limit=grid.thermal_limit * factor)
    households = np.array([float(data.loads[load]["households"]) for load in grid.name_load])
    series = GeneratedSeries(
        grid, households=households, maintenance_lines=data.marked("maintenance"), **data.settings["series"]
    )
    system = System(
        grid=grid,
        zones=make_zones(grid, data.zones if zones is None else zones, tie_lines),
        parameters=changed_parameters(data.parameters, parameters),
        attack=changed_attack(data.attack, attack, grid),
        attention=changed_attention(AttentionRules(), attention, grid),
        delta_time=series.delta_time,
        rules=rule_set(grid, rules, RuleSet()),
    )
    return Case(system, series)


_grid = lru_cache(builtin_grid)


def _network(
    net: pandapowerNet,
    zones: ZoneSpec | None,
    tie_lines: str,
    parameters: Parameters | Mapping[str, Any] | None,
    difficulty: str,
    n_busbar: int,
    attack: AttackRules | Mapping[str, Any] | None,
    rules: RuleSpec | None,
    attention: AttentionRules | Mapping[str, Any] | None,
) -> Case:
    from marlgrid.model.datasets.pandapower_net import grid_from_pandapower

    grid = grid_from_pandapower(net, name=str(net.name or "network"), n_busbar=n_busbar)
    zoned = make_zones(grid, zone_number(grid) if zones is None else zones, tie_lines)
    pair = System(grid, zoned, Parameters()), GeneratedSeries(grid)
    return _own(pair, None, tie_lines, parameters, difficulty, attack, rules, attention)


def _simbench(
    code: str,
    zones: ZoneSpec | None,
    tie_lines: str,
    parameters: Parameters | Mapping[str, Any] | None,
    difficulty: str,
    n_busbar: int,
    attack: AttackRules | Mapping[str, Any] | None,
    rules: RuleSpec | None,
    attention: AttentionRules | Mapping[str, Any] | None,
) -> Case:
    from marlgrid.model.datasets.simbench_case import attack_rules, feeding_areas, simbench_case

    grid, series = simbench_case(code, n_busbar)
    zoned = make_zones(grid, feeding_areas(grid) if zones is None else zones, tie_lines)
    system = System(grid, zoned, Parameters(), attack_rules(grid), delta_time=series.delta_time)
    return _own((system, series), None, tie_lines, parameters, difficulty, attack, rules, attention)


def _folder(path_or_name: str | Path, options: dict[str, Any]) -> Case:
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
    return load_folder(folder, **options)


def _own(
    pair: tuple[System, TimeSeries],
    zones: ZoneSpec | None,
    tie_lines: str,
    parameters: Parameters | Mapping[str, Any] | None,
    difficulty: str,
    attack: AttackRules | Mapping[str, Any] | None,
    rules: RuleSpec | None,
    attention: AttentionRules | Mapping[str, Any] | None,
) -> Case:
    """The user's own pair, with what is asked for changed."""
    if len(pair) != 2 or not isinstance(pair[0], System):
        raise TypeError(f"a case is a tuple of {[type(part).__name__ for part in pair]}; give (System, TimeSeries)")
    system, series = pair
    factor = _limit_factor(LIMIT_FACTOR, difficulty)
    grid = system.grid if factor == 1.0 else replace(system.grid, thermal_limit=system.grid.thermal_limit * factor)
    if zones is not None:
        zoned = make_zones(grid, zones, tie_lines)
    else:
        zoned = system.zones if grid is system.grid else replace(system.zones, grid=grid)
    system = replace(
        system,
        grid=grid,
        zones=zoned,
        parameters=changed_parameters(system.parameters, parameters),
        attack=changed_attack(system.attack, attack, grid),
        rules=rule_set(grid, rules, system.rules),
        attention=changed_attention(system.attention, attention, grid),
    )
    return Case(system, series)
