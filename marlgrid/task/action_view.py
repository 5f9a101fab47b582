"""An action as an object to look at: what it asks for and impacts, whether it would be accepted, sums and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Commands, Kind, add, canonical, joint, no_attack
from marlgrid.simulation.notepad import note_impact
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce
from marlgrid.simulation.state import State, take
from marlgrid.task.commands import in_words, make_action
from marlgrid.task.hand_built import checked


@dataclass(frozen=True, eq=False)
class ActionView:
    """Commands on a grid, read-only. ``str`` says them in words; ``+`` joins two as ``simulation.action.add`` says."""

    system: System
    commands: Commands

    def __post_init__(self) -> None:
        object.__setattr__(self, "commands", canonical(checked(self.system, self.commands)))

    def __str__(self) -> str:
        return in_words(self.system, self.commands)

    def __add__(self, other: ActionView | Commands | Mapping[str, Any]) -> ActionView:
        if isinstance(other, Mapping):
            other = make_action(self.system, other)
        right = other if isinstance(other, Commands) else other.commands
        return ActionView(self.system, add(self.commands, checked(self.system, right)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActionView) and all(map(np.array_equal, self.commands, other.commands))

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------------ what it does
    def topological_impact(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(n_line,) and (n_sub,) bool: the statuses and substations that count in quotas and cooldowns.

        They depend on the lines in service in (the first row of) ``state``.
        """
        lines = np.zeros(self.system.grid.n_line, dtype=np.bool_)
        subs = np.zeros(self.system.grid.n_sub, dtype=np.bool_)
        note_impact(self.system.tables, self.commands, state.topology.topo_vect[0], lines, subs)
        return lines, subs

    def reason(self, state: State, zone: int) -> Reason:
        """What the rules say if ``zone`` asks for this on (the first row of) ``state``.

        Whether a joint dispatch has a solution is known only when it is played.
        """
        asked = [self.commands if z == zone else NO_COMMANDS for z in range(self.system.n_zone)]
        ruling = enforce(self.system, take(state, np.array([0])), joint([asked]), no_attack(1, self.system.grid.n_line))
        return Reason(int(ruling.reason[0, zone]))

    def impact_on_objects(self) -> dict[str, Any]:
        """What it asks for, by kind of object: the keys of Grid2Op's ``impact_on_objects``, in plain Python values."""
        grid = self.system.grid
        on, off = self._of(Kind.SET_LINE_STATUS, 1), self._of(Kind.SET_LINE_STATUS, -1)
        switched = self._of(Kind.CHANGE_LINE_STATUS)
        moved = [self._place(i) | {"bus": int(v)} for i, v in self._values(Kind.SET_BUS)]
        swapped = [self._place(i) | {"bus": True} for i, _ in self._values(Kind.CHANGE_BUS)]
        redispatch = [
            {"gen_id": i, "gen_name": grid.name_gen[i], "amount": v} for i, v in self._values(Kind.REDISPATCH)
        ]
        storage = [
            {"storage_id": i, "storage_name": grid.name_storage[i], "new_capacity": v}
            for i, v in self._values(Kind.SET_STORAGE)
        ]
        caps = [
            {"generator_id": i, "generator_name": grid.name_gen[i], "amount": v} for i, v in self._values(Kind.CURTAIL)
        ]
        return {
            "has_impact": len(self.commands.kind) > 0,
            "injection": {"changed": False, "count": 0, "impacted": []},
            "force_line": {
                "changed": bool(on or off),
                "reconnections": {"count": len(on), "powerlines": on},
                "disconnections": {"count": len(off), "powerlines": off},
            },
            "switch_line": {"changed": bool(switched), "count": len(switched), "powerlines": switched},
            "topology": {
                "changed": bool(moved or swapped),
                "bus_switch": swapped,
                "assigned_bus": [entry for entry in moved if entry["bus"] > 0],
                "disconnect_bus": [entry for entry in moved if entry["bus"] < 0],
            },
            "redispatch": {"changed": bool(redispatch), "generators": redispatch},
            "storage": {"changed": bool(storage), "capacities": storage},
            "curtailment": {"changed": bool(caps), "limit": caps},
        }

    def as_serializable_dict(self, names: bool = True) -> dict[str, Any]:
        """The mapping that ``make_action`` reads back, fit for ``json.dumps``; elements by name, or by number."""
        grid = self.system.grid
        told: dict[str, Any] = {}
        for kind, elements in _NAMES.items():
            pairs = [(getattr(grid, elements)[i] if names else i, v) for i, v in self._values(kind)]
            if pairs and kind == Kind.CHANGE_LINE_STATUS:
                told[kind.name.lower()] = [element for element, _ in pairs]
            elif pairs:
                whole = kind == Kind.SET_LINE_STATUS
                told[kind.name.lower()] = [[element, int(v) if whole else v] for element, v in pairs]
        for kind in (Kind.SET_BUS, Kind.CHANGE_BUS):
            by_key: dict[str, list[Any]] = {}
            for place, value in self._values(kind):
                key, number, name = self._element(place)
                element = name if names else number
                by_key.setdefault(key, []).append([element, int(value)] if kind == Kind.SET_BUS else element)
            if by_key:
                told[kind.name.lower()] = by_key
        rules = self.system.attention
        for kind, named in ((Kind.RAISE_ALARM, rules.areas), (Kind.RAISE_ALERT, rules.alert_lines)):
            raised = [named[i] if names else i for i, _ in self._values(kind)]
            if raised:
                told[kind.name.lower()] = raised
        return told

    # ------------------------------------------------------------------ parts
    def _values(self, kind: Kind) -> list[tuple[int, float]]:
        """(element, value) of the commands of one kind."""
        asked = self.commands.kind == kind
        return list(zip(self.commands.index[asked].tolist(), self.commands.value[asked].tolist(), strict=True))

    def _of(self, kind: Kind, value: int | None = None) -> list[int]:
        return [i for i, v in self._values(kind) if value is None or v == value]

    def _element(self, place: int) -> tuple[str, int, str]:
        """Sub-key, number and name of the element at a place of the topology vector."""
        grid = self.system.grid
        for key, (positions, names, _) in _PLACES.items():
            number = np.flatnonzero(getattr(grid, positions) == place)
            if len(number):
                return key, int(number[0]), getattr(grid, names)[number[0]]
        raise AssertionError(f"no element at place {place}")

    def _place(self, place: int) -> dict[str, Any]:
        key, number, _ = self._element(place)
        sub = int(self.system.grid.topology_layout.sub[place])
        return {"object_type": _PLACES[key][2], "object_id": number, "substation": sub}


_NAMES = {
    Kind.SET_LINE_STATUS: "name_line",
    Kind.CHANGE_LINE_STATUS: "name_line",
    Kind.REDISPATCH: "name_gen",
    Kind.CURTAIL: "name_gen",
    Kind.SET_STORAGE: "name_storage",
}
_PLACES = {
    "loads_id": ("load_pos_topo_vect", "name_load", "load"),
    "generators_id": ("gen_pos_topo_vect", "name_gen", "generator"),
    "lines_or_id": ("line_or_pos_topo_vect", "name_line", "line (origin)"),
    "lines_ex_id": ("line_ex_pos_topo_vect", "name_line", "line (extremity)"),
    "storages_id": ("storage_pos_topo_vect", "name_storage", "storage"),
}
"""Sub-key -> positions, names, and Grid2Op's word for the type."""
