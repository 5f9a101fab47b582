"""The rules of a Grid2Op folder: its rule set, its parameters by difficulty, and what its opponent may do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marlgrid.model.attacker import NOBODY, Attacker
from marlgrid.model.datasets.customising import safe_powerlines
from marlgrid.model.datasets.grid2op_chronics import read_json
from marlgrid.model.datasets.grid2op_config import Config, Construct
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import RuleSet, areas_from

RULE_CLASSES = {
    "DefaultRules": RuleSet(),
    "AlwaysLegal": RuleSet(quotas=False, cooldowns=False, storages=False),
    "LookParam": RuleSet(cooldowns=False, storages=False),
    "PreventReconnection": RuleSet(quotas=False, storages=False),
    "PreventDiscoStorageModif": RuleSet(quotas=False, cooldowns=False),
}
"""Grid2Op's classes of rules; ``RulesByArea`` has an argument."""


def read_parameters(folder: Path, difficulty: str | None) -> Parameters:
    """Parameters of a difficulty level, by Grid2Op's rule.

    The levels of ``difficulty_levels.json`` come first: the one asked for, else "competition", else the largest
    number. Without that file ``parameters.json`` counts, and without either the defaults. ``None`` and "default"
    leave the choice to the folder.
    """
    path = folder / "difficulty_levels.json"
    asked = None if difficulty in (None, "default") else str(difficulty)
    if path.is_file():
        levels = read_json(path)
        name = asked if asked is not None else _hardest(path, levels)
        if name not in levels:
            raise ValueError(f"unknown difficulty {difficulty!r} of {folder.name}; choose from {sorted(levels)}")
        return _parameters(path, levels[name])
    if asked is not None:
        raise ValueError(
            f"difficulty {difficulty!r} of {folder.name}: {path} does not exist, so there are no levels to choose "
            f"from; leave it out, or give parameters"
        )
    path = folder / "parameters.json"
    return _parameters(path, read_json(path)) if path.is_file() else Parameters()


def _hardest(path: Path, levels: Mapping[str, Any]) -> str:
    if "competition" in levels:
        return "competition"
    numbered = [name for name in levels if name.lstrip("-").isdigit()]
    if not numbered:
        raise ValueError(f"{path} has neither 'competition' nor a numbered level, only {sorted(levels)}; ask for one")
    return max(numbered, key=int)


def _parameters(path: Path, entries: Any) -> Parameters:
    if not isinstance(entries, Mapping):
        raise ValueError(f"{path} must hold parameters by name, got {entries!r}")
    try:
        return Parameters().changed(entries)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_rule_set(path: Path, config: Config) -> RuleSet:
    """The rules that ``config.py`` names, Grid2Op's default ones where it names none.

    Raises ValueError for a class of rules that is not Grid2Op's, or areas that are not lists.
    """
    given, name = config.values.get("gamerules_class"), config.name_of("gamerules_class")
    if given is None:
        return RuleSet()
    if isinstance(given, Construct) and name == "RulesByArea":
        try:
            return RuleSet(areas=areas_from(*given.args, *given.kwargs.values()))
        except TypeError as error:
            raise ValueError(f"{path}, RulesByArea: {error}") from error
    if name not in RULE_CLASSES:
        raise ValueError(
            f"{path}, gamerules_class: {name or given!r} is not known here; choose from "
            f"{[*RULE_CLASSES, 'RulesByArea([[...], ...])']}, and give rules of your own as functions, rules=..."
        )
    return RULE_CLASSES[name]


def read_attack_rules(path: Path, config: Config, grid: Grid) -> AttackRules:
    """What the opponent of ``config.py`` may do.

    Where the file has no opponent, every powerline (no transformer) whose loss leaves the grid in one piece may be
    attacked, under the default terms.
    """
    if config.name_of("opponent_class") in (None, "BaseOpponent") or not config.values.get("kwargs_opponent"):
        return AttackRules(lines=safe_powerlines(grid))
    values = {key: value for key, value in config.values.items() if value is not None}
    lines = flat(config.values["kwargs_opponent"].get("lines_attacked", ()))
    unknown = [line for line in lines if line not in grid.name_line]
    if unknown:
        raise ValueError(f"{path}, lines_attacked: {unknown} are no lines of the grid; it has {list(grid.name_line)}")
    try:
        return AttackRules(
            lines=tuple(lines),
            max_duration=int(values.get("opponent_attack_duration", 0)),
            cooldown=int(values.get("opponent_attack_cooldown", 99999)),
            initial_budget=float(values.get("opponent_init_budget", 0.0)),
            budget_per_step=float(values.get("opponent_budget_per_ts", 0.0)),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, opponent: {error}") from error


ATTACKERS = {
    "RandomLineOpponent": ("random", {}),
    "WeightedRandomOpponent": ("weighted", {"attack_period": "period", "rho_normalization": "normalisation"}),
    "GeometricOpponent": ("geometric", {}),
    "GeometricOpponentMultiArea": ("multi-area", {"lines_attacked": "areas"}),
}
"""Grid2Op's opponents: our name, and our word for their settings."""
GEOMETRIC = {
    "attack_every_xxx_hour": "every_hours",
    "average_attack_duration_hour": "average_hours",
    "minimum_attack_duration_hour": "minimum_hours",
    "pmax_pmin_ratio": "pmax_pmin_ratio",
}
GEOMETRIC_DEFAULTS = {"every_hours": 24.0, "average_hours": 4.0, "minimum_hours": 2.0, "pmax_pmin_ratio": 4.0}


def read_attacker(path: Path, config: Config, grid: Grid) -> Attacker:
    """The opponent of ``config.py`` with its settings; none where it has none, or one that is not Grid2Op's own."""
    kind = config.name_of("opponent_class")
    if kind not in ATTACKERS or not config.values.get("kwargs_opponent"):
        return NOBODY
    given = dict(config.values["kwargs_opponent"])
    name, words = ATTACKERS[kind]
    geometric = kind.startswith("Geometric")
    settings: dict[str, Any] = dict(GEOMETRIC_DEFAULTS) if geometric else {}
    for theirs, ours in {**words, **(GEOMETRIC if geometric else {})}.items():
        if theirs in given:
            settings[ours] = given[theirs]
    if "areas" in settings:
        settings["areas"] = tuple(tuple(area) for area in settings["areas"])
    if "normalisation" in settings:
        lines, scales = flat(given.get("lines_attacked", ())), settings["normalisation"]
        if len(lines) != len(scales):
            raise ValueError(f"{path}, rho_normalization: {len(scales)} numbers for {len(lines)} lines_attacked")
        by_line = dict(zip(lines, scales, strict=True))
        settings["normalisation"] = tuple(float(by_line[line]) for line in grid.name_line if line in by_line)
    return Attacker(name, settings)


def flat(lines: Any) -> list[str]:
    """Names out of a list, or a list of lists (one per area)."""
    return [name for item in lines for name in ([item] if isinstance(item, str) else flat(item))]
