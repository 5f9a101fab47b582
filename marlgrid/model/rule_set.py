"""Which rules an action is held against: the named sets, quotas by area, and rules of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.zones import grouped

OwnRule = Callable[[Any, Any, int, Any], bool]
"""``rule(system, state, zone, commands) -> bool``: False refuses what the zone asks for.

``state`` is the state that all zones saw, a batch of one; ``commands`` are those of the zone, never none at all. A rule
is asked only about what the built-in rules accept, so it can refuse further and never allow more.
"""


@dataclass(frozen=True, eq=False)
class RuleSet:
    """The rules that count, beside those on what an action can mean (owners, contradictions, ranges), which always do.

    Each check is one class of Grid2Op: ``LookParam``, ``PreventReconnection``, ``PreventDiscoStorageModif``; all three
    make its ``DefaultRules``, none its ``AlwaysLegal``, and ``areas`` its ``RulesByArea``.
    """

    quotas: bool = True
    """Only so many lines and substations per zone and step as the parameters say."""
    cooldowns: bool = True
    """Nothing that is in its cooldown."""
    storages: bool = True
    """No power of a storage that is on no busbar."""
    areas: tuple[tuple[int | str, ...], ...] = ()
    """Substations (numbers or names) of each area: a zone has its quotas in each of them. () is one area, the grid.

    A line counts in the area of its origin.
    """
    own: tuple[OwnRule, ...] = ()
    """Rules of the user's own; all must agree."""

    def area_of_sub(self, grid: Grid) -> np.ndarray:
        """(n_sub,) int32 area of each substation. Raises ValueError unless each is in exactly one."""
        if not self.areas:
            return np.zeros(grid.n_sub, dtype=np.int32)
        return grouped(grid, dict(enumerate(self.areas)), "area").astype(np.int32)


DEFAULT_RULES = RuleSet()
RULE_SETS = {"default": DEFAULT_RULES, "always-legal": RuleSet(quotas=False, cooldowns=False, storages=False)}
"""By name; ``"by-area"`` stands for the default rules in the areas of the case."""

RuleSpec = RuleSet | str | OwnRule | Sequence[OwnRule] | Mapping[str, Any]


def rule_set(grid: Grid, spec: RuleSpec | None, of_case: RuleSet) -> RuleSet:
    """The rules that a user asks for.

    Args:
        grid: the grid whose substations the areas name.
        spec: None for the case's rules; ``"default"``, ``"always-legal"``, ``"by-area"``; a function or several, which
            join the case's rules; a dict of fields of ``RuleSet``, with ``"base"`` the name of the set they change
            (without it the case's); or a ``RuleSet``.
        of_case: the rules of the case.

    Raises:
        ValueError: unknown name or field, areas that do not hold each substation exactly once, areas of a case
            without any. TypeError: anything else.
    """
    chosen = _chosen(spec, of_case)
    chosen.area_of_sub(grid)
    return chosen


def _chosen(spec: RuleSpec | None, of_case: RuleSet) -> RuleSet:
    if spec is None:
        return of_case
    if isinstance(spec, RuleSet):
        return spec
    if isinstance(spec, str):
        return _named(spec, of_case)
    if callable(spec):
        return replace(of_case, own=(*of_case.own, spec))
    if isinstance(spec, Mapping):
        return _changed(dict(spec), of_case)
    if isinstance(spec, Iterable):
        return replace(of_case, own=(*of_case.own, *_functions(spec)))
    raise TypeError(
        f"rules is a {type(spec).__name__}; give one of {[*RULE_SETS, 'by-area']}, a function (or several) "
        "rule(system, state, zone, commands) -> bool, a dict of settings, or a RuleSet"
    )


def _named(name: str, of_case: RuleSet) -> RuleSet:
    if name in RULE_SETS:
        return RULE_SETS[name]
    if name != "by-area":
        raise ValueError(f"unknown rules {name!r}; choose from {[*RULE_SETS, 'by-area']}")
    if not of_case.areas:
        raise ValueError("rules 'by-area': the case names no areas; give rules={'areas': [[...], ...]}")
    return replace(RULE_SETS["default"], areas=of_case.areas)


def _changed(settings: dict[str, Any], of_case: RuleSet) -> RuleSet:
    base = settings.pop("base", None)
    if base == "by-area" and "areas" in settings:
        base = "default"
    known = [field.name for field in fields(RuleSet)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"unknown setting(s) {unknown} of rules; choose from {['base', *known]}")
    for name in ("quotas", "cooldowns", "storages"):
        if not isinstance(settings.get(name, True), bool):
            raise TypeError(f"rules[{name!r}] is {settings[name]!r}, give True or False")
    if "areas" in settings:
        settings["areas"] = areas_from(settings["areas"])
    if "own" in settings:
        own = settings["own"]
        settings["own"] = _functions([own] if callable(own) else own)
    return replace(of_case if base is None else _named(base, of_case), **settings)


def areas_from(given: Any) -> tuple[tuple[int | str, ...], ...]:
    """Areas out of lists of substations, or a mapping from names of areas to such lists. Raises TypeError."""
    lists = list(given.values()) if isinstance(given, Mapping) else given
    if isinstance(lists, str) or not isinstance(lists, Iterable):
        raise TypeError(f"areas is {given!r}; give lists of substations, or a dict of lists")
    lists = list(lists)
    if any(isinstance(area, str) or not isinstance(area, Iterable) for area in lists):
        raise TypeError(f"areas is {given!r}; give lists of substations, or a dict of lists")
    return tuple(tuple(area) for area in lists)


def _functions(given: Any) -> tuple[OwnRule, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"own rules are {given!r}; give functions rule(system, state, zone, commands) -> bool")
    functions = tuple(given)
    if not all(map(callable, functions)):
        raise TypeError(f"own rules are {given!r}; give functions rule(system, state, zone, commands) -> bool")
    return functions
