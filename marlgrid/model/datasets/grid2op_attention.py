"""The alarms and alerts of a Grid2Op folder: ``alerts_info.json`` and the attention budget of ``config.py``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marlgrid.model.attention import AttentionRules
from marlgrid.model.datasets.grid2op_chronics import read_json
from marlgrid.model.datasets.grid2op_config import Config
from marlgrid.model.datasets.grid2op_rules import flat
from marlgrid.model.grid import Grid

BUDGET = {
    "init_budget": "initial_budget",
    "max_budget": "max_budget",
    "budget_per_ts": "budget_per_step",
    "alarm_cost": "alarm_cost",
}
"""Grid2Op's names of the budget's terms, and ours."""


def read_attention(folder: Path, config: Config, grid: Grid) -> AttentionRules:
    """What can be warned of: ``fixed`` areas with a budget, or (``by_line``) the lines that the opponent attacks.

    Areas are in the order of their names, as in Grid2Op. Without an attention budget there are no alarms.
    Raises ValueError for another form, and for lines that the grid does not have.
    """
    path = folder / "alerts_info.json"
    if not path.is_file():
        return AttentionRules()
    info = read_json(path)
    areas, by_line = (info.get(key) for key in ("fixed", "by_line")) if isinstance(info, Mapping) else (None, None)
    one_of_them = (areas is None) != (by_line is None)
    if not one_of_them or not isinstance(areas, Mapping | None) or by_line not in (None, "opponent"):
        raise ValueError(f"{path} must hold lists of lines by area under 'fixed', or 'opponent' under 'by_line'")
    rules = AttentionRules()
    if areas is not None and config.values.get("has_attention_budget"):
        listed = {name: tuple(areas[name]) for name in sorted(areas)}
        rules = AttentionRules(alarm_areas=listed, **_budget(config))
    if by_line is not None:
        rules = AttentionRules(alert_lines=tuple(flat(_opponent(config).get("lines_attacked", ()))))
    unknown = rules.unknown_lines(grid)
    if unknown:
        raise ValueError(f"{path}: {unknown} are no lines of the grid; it has {list(grid.name_line)}")
    return rules


def _budget(config: Config) -> dict[str, Any]:
    given = config.values.get("kwargs_attention_budget") or {}
    return {ours: float(given[theirs]) for theirs, ours in BUDGET.items() if theirs in given}


def _opponent(config: Config) -> Mapping[str, Any]:
    return config.values.get("kwargs_opponent") or {}
