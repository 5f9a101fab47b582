"""The part of a grid that somebody sees, as a grid of its own with numbers of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from marlgrid.model.attention import AttentionRules
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.model.zones import Zones
from marlgrid.simulation.action import Commands, Kind
from marlgrid.task.attributes import ATTRIBUTES, size_of

_KINDS = {"dim_topo": "place", "dim_alarms": "alarm", "dim_alerts": "alert"}
"""Sizes that are not named after their elements."""


@dataclass(frozen=True, eq=False)
class Patch:
    """The seen substations with all that stands in them, and the lines that have an end there.

    Substations that are only the far end of such a line come last: nothing is known of them. The index arrays give the
    numbers in the whole grid, names stay the same.
    """

    system: System
    """The patch itself."""
    sub: np.ndarray
    line: np.ndarray
    gen: np.ndarray
    load: np.ndarray
    storage: np.ndarray
    shunt: np.ndarray
    place: np.ndarray
    """(n,) numbers in the whole grid, of each element here (of each place in the topology vector)."""
    alarm: np.ndarray
    alert: np.ndarray
    """(n,) numbers in the whole, of the alarm areas with a line here and of the alertable lines here."""
    beyond: np.ndarray
    """(n_sub,) bool: only known as the far end of a line."""
    unseen: dict[str, np.ndarray]
    """``"or"`` and ``"ex"``: (n_line,) bool, the end is beyond what is seen."""

    def part(self, name: str, value: Any) -> Any:
        """The value of an observation's attribute, (n,) or (n_env, n), of what is seen alone.

        What is unknown reads 0; the far end of a line that leaves reads busbar 1, or -1 if the line is out.
        """
        size = ATTRIBUTES[name].size
        if size == "" or size.startswith("["):  # a number, or the account of warnings that all zones share
            return value[: size_of(self.system, ATTRIBUTES[name])] if size else value
        kind = _KINDS[size] if size in _KINDS else size.removeprefix("n_")
        own = value[..., getattr(self, kind)]
        if kind == "place":
            far = self.beyond[self.system.grid.topology_layout.sub]
            return np.where(far, np.where(own > 0, 1, -1), own).astype(own.dtype)
        if kind == "sub":
            return np.where(self.beyond, 0, own).astype(own.dtype)
        end = next((e for e in ("or", "ex") if e in name.split("_")), None)
        if kind != "line" or end is None:
            return own
        known = np.where(own > 0, 1, -1) if name.endswith("_bus") else 0
        return np.where(self.unseen[end], known, own).astype(own.dtype)

    def in_the_whole(self, commands: Commands) -> Commands:
        """Commands in the numbers of the whole grid."""
        numbers = self._numbers
        translated = [numbers[Kind(int(kind))][i] for kind, i in zip(commands.kind, commands.index, strict=True)]
        return commands._replace(index=np.array(translated, dtype=np.int32))

    def of_the_whole(self, commands: Commands) -> Commands:
        """Commands in the numbers of the patch. Raises ValueError for an element that is not in it."""
        translated = []
        for kind, i in zip(commands.kind, commands.index, strict=True):
            here = np.flatnonzero(self._numbers[Kind(int(kind))] == i)
            if len(here) == 0:
                raise ValueError(f"{Kind(int(kind)).name} of element {i}: not in what is seen")
            translated.append(here[0])
        return commands._replace(index=np.array(translated, dtype=np.int32))

    @cached_property
    def _numbers(self) -> dict[Kind, np.ndarray]:
        """Numbers in the whole grid of the elements that commands of each kind are about."""
        return {
            Kind.SET_LINE_STATUS: self.line,
            Kind.CHANGE_LINE_STATUS: self.line,
            Kind.SET_BUS: self.place,
            Kind.CHANGE_BUS: self.place,
            Kind.REDISPATCH: self.gen,
            Kind.CURTAIL: self.gen,
            Kind.SET_STORAGE: self.storage,
            Kind.RAISE_ALARM: self.alarm,
            Kind.RAISE_ALERT: self.alert,
        }


def patch_of(system: System, seen: np.ndarray) -> Patch:
    """The patch of the substations ``seen`` (n_sub,) bool."""
    grid = system.grid
    line = np.flatnonzero(seen[grid.line_or_to_subid] | seen[grid.line_ex_to_subid])
    far = np.unique(np.concatenate([grid.line_or_to_subid[line], grid.line_ex_to_subid[line]]))
    sub = np.concatenate([np.flatnonzero(seen), far[~seen[far]]])
    kept = {"sub": sub, "line": line}
    for kind in ("gen", "load", "storage", "shunt"):
        kept[kind] = np.flatnonzero(seen[getattr(grid, f"{kind}_to_subid")])
    own = _grid(grid, kept)
    place = np.empty(own.dim_topo, dtype=np.int32)
    for name in ("line_or", "line_ex", "gen", "load", "storage"):
        numbers = kept[name.split("_")[0]]
        place[getattr(own.topology_layout, name)] = getattr(grid.topology_layout, name)[numbers]
    if grid.initial_topo_vect is not None:
        own = replace(own, initial_topo_vect=grid.initial_topo_vect[place])
    zones = Zones(own, system.zones.labels[sub], system.zones.tie_lines)
    attention, warnings = _attention(system.attention, own)
    return Patch(
        system=System(own, zones, system.parameters, delta_time=system.delta_time, attention=attention),
        **kept,
        **warnings,
        place=place,
        beyond=~seen[sub],
        unseen={end: ~seen[getattr(grid, f"line_{end}_to_subid")[line]] for end in ("or", "ex")},
    )


def _grid(grid: Grid, kept: dict[str, np.ndarray]) -> Grid:
    """The grid of the elements that are kept, all but its start topology."""
    changes: dict[str, Any] = {"initial_topo_vect": None, "source": ""}
    new_sub = np.full(grid.n_sub, -1, dtype=np.int32)
    new_sub[kept["sub"]] = np.arange(len(kept["sub"]), dtype=np.int32)
    for field in fields(grid):
        kind = "line" if field.name == "thermal_limit" else field.name.removeprefix("name_").split("_")[0]
        value = getattr(grid, field.name)
        if kind not in kept or value is None:
            continue
        numbers = kept[kind]
        picked = tuple(value[i] for i in numbers) if isinstance(value, tuple) else value[numbers]
        changes[field.name] = new_sub[picked] if field.name.endswith("_to_subid") else picked
    return replace(grid, **changes)


def _attention(rules: AttentionRules, grid: Grid) -> tuple[AttentionRules, dict[str, np.ndarray]]:
    """What can be warned of here, and its numbers in the whole."""
    here = set(grid.name_line)
    areas = {area: tuple(line for line in lines if line in here) for area, lines in rules.alarm_areas.items()}
    numbers = {
        "alarm": np.flatnonzero([bool(lines) for lines in areas.values()]),
        "alert": np.flatnonzero([line in here for line in rules.alert_lines]),
    }
    own = replace(
        rules,
        alarm_areas={area: lines for area, lines in areas.items() if lines},
        alert_lines=tuple(line for line in rules.alert_lines if line in here),
    )
    return own, numbers
