"""How often the opponent may attack: the budgets that studies compare, as changes to a case's ``AttackRules``."""

from __future__ import annotations

import math
from typing import Any

from marlgrid.model.system import System

HOURS_APART = {"none": math.inf, "day-1": 24.0, "day-2": 12.0, "4-hours": 4.0}
"""Name of a budget -> hours between the starts of two attacks."""
CASE = "case"
"""Stands for the terms that the case comes with."""


def changes(name: str, max_duration: int = 48, delta_time: float = 5.0) -> dict[str, Any]:
    """What a budget changes in the attack rules, to be given as ``make_task(..., attack=...)``; nothing for ``"case"``.

    The cooldown sets the pace, and the budget pays for just that: one attack of ``max_duration`` (steps of
    ``delta_time`` minutes) from the start on and as much again by the end of each cooldown. Raises ValueError for an
    unknown name, and for a pace that is no whole number of steps.
    """
    if name == CASE:
        return {}
    if name not in HOURS_APART:
        raise ValueError(f"unknown attack budget {name!r}; choose from {[CASE, *HOURS_APART]}")
    if name == "none":
        return {"initial_budget": 0.0, "budget_per_step": 0.0}
    steps = HOURS_APART[name] * 60.0 / delta_time
    if steps != int(steps):
        raise ValueError(f"budget {name!r} is {steps:g} steps of {delta_time:g} minutes: no whole number")
    return {
        "max_duration": max_duration,
        "cooldown": int(steps),
        "initial_budget": float(max_duration),
        "budget_per_step": max_duration / int(steps),
    }


BUDGETS = {name: changes(name) for name in HOURS_APART}
"""Name -> changes for steps of five minutes and attacks of up to four hours: the built-in cases and Grid2Op's."""


def changes_in(system: System, name: str) -> dict[str, Any]:
    """The same with the longest attack and the steps of a system."""
    return changes(name, system.attack.max_duration, system.delta_time)
