"""What any kind of case comes as, and what a caller may change in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marlgrid.model.attention import AttentionRules
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import RuleSpec, rule_set
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries


class Case(NamedTuple):
    """A system and the time series to run it on."""

    system: System
    series: TimeSeries


def changed(
    system: System,
    parameters: Parameters | Mapping[str, Any] | None,
    attack: AttackRules | Mapping[str, Any] | None,
    rules: RuleSpec | None,
    attention: AttentionRules | Mapping[str, Any] | None,
) -> System:
    """The system with what is asked for changed; None keeps what it has. Raises ValueError for what is unknown."""
    return replace(
        system,
        parameters=changed_parameters(system.parameters, parameters),
        attack=changed_attack(system.attack, attack, system.grid),
        rules=rule_set(system.grid, rules, system.rules),
        attention=changed_attention(system.attention, attention, system.grid),
    )


def changed_attack(rules: AttackRules, changes: AttackRules | Mapping[str, Any] | None, grid: Grid) -> AttackRules:
    """Other attack rules, or these with some entries changed. Raises ValueError for unknown entries and lines."""
    if isinstance(changes, AttackRules):
        rules = changes
    elif changes is not None:
        known = sorted(field.name for field in fields(AttackRules))
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"unknown attack rule(s) {unknown}; choose from {known}")
        named = {key: tuple(changes.get(key, getattr(rules, key))) for key in ("lines", "subs")}
        rules = replace(rules, **{**changes, **named})
    missing = sorted(set(rules.lines) - set(grid.name_line))
    if missing:
        raise ValueError(f"unknown attackable line(s) {missing}; the grid has {list(grid.name_line)}")
    missing = sorted(set(rules.subs) - set(grid.name_sub))
    if missing:
        raise ValueError(f"unknown attackable substation(s) {missing}; the grid has {list(grid.name_sub)}")
    return rules


def changed_attention(
    rules: AttentionRules, changes: AttentionRules | Mapping[str, Any] | None, grid: Grid
) -> AttentionRules:
    """Other alarms and alerts, or these with some entries changed. Raises ValueError for unknown entries and lines."""
    if isinstance(changes, AttentionRules):
        rules = changes
    elif changes is not None:
        known = sorted(field.name for field in fields(AttentionRules))
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"unknown attention rule(s) {unknown}; choose from {known}")
        areas = {str(name): tuple(lines) for name, lines in changes.get("alarm_areas", rules.alarm_areas).items()}
        lines = tuple(changes.get("alert_lines", rules.alert_lines))
        rules = replace(rules, **{**changes, "alarm_areas": areas, "alert_lines": lines})
    missing = rules.unknown_lines(grid)
    if missing:
        raise ValueError(f"unknown line(s) {missing} of alarms and alerts; the grid has {list(grid.name_line)}")
    return rules


def changed_parameters(rules: Parameters, changes: Parameters | Mapping[str, Any] | None) -> Parameters:
    """Other parameters, or these with some changed. Raises ValueError for unknown names."""
    if changes is None or isinstance(changes, Parameters):
        return changes or rules
    return rules.changed(changes)


def zone_number(grid: Grid) -> int:
    """How many zones suit the size of a grid that names none."""
    return min(grid.n_sub, 2 if grid.n_sub < 10 else 3 if grid.n_sub < 60 else 8)


def safe_powerlines(grid: Grid) -> tuple[str, ...]:
    """Names of the powerlines that are no bridge: without one of them all substations still hang together."""
    return tuple(
        name
        for line, name in enumerate(grid.name_line)
        if not grid.line_is_trafo[line] and _connected_without(grid, line)
    )


def _connected_without(grid: Grid, line: int) -> bool:
    ends = np.delete(np.stack([grid.line_or_to_subid, grid.line_ex_to_subid]), line, axis=1)
    graph = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(grid.n_sub, grid.n_sub))
    return connected_components(graph, directed=False)[0] == 1
