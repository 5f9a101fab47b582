"""Action spaces with continuous parts: set points between -1 and 1 for generators and storages."""

# ruff: noqa: ARG002 (a mask that never exists does not look at the state)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from marlgrid.model.system import System
from marlgrid.simulation.action import NO_COMMANDS, Action, Commands, Kind, concatenate
from marlgrid.simulation.state import State
from marlgrid.task.actions import Choices, DiscreteActions, Mask, joint_of
from marlgrid.task.menu import Menu, curtailable, redispatchable

CONTINUOUS = ("redispatch", "curtail", "storage")


class _Levers:
    """The continuous controls of one zone, of some kinds: which unit each is, and what -1 and 1 mean."""

    def __init__(self, system: System, zone: int, kinds: tuple[str, ...]) -> None:
        grid = system.grid
        gens = redispatchable(system, zone) if "redispatch" in kinds else np.zeros(0, dtype=int)
        caps = curtailable(system, zone) if "curtail" in kinds else np.zeros(0, dtype=int)
        units = np.flatnonzero(system.zones.storage == zone) if "storage" in kinds else np.zeros(0, dtype=int)
        # A generator without ramps has nothing to be set.
        gens = gens[(grid.gen_max_ramp_up[gens] > 0) | (grid.gen_max_ramp_down[gens] > 0)]
        self.kind = np.repeat([Kind.REDISPATCH, Kind.CURTAIL, Kind.SET_STORAGE], [len(gens), len(caps), len(units)])
        self.index = np.concatenate([gens, caps, units]).astype(np.int32)
        # value = low part (x < 0) or high part (x > 0); a cap is (x + 1) / 2.
        self.up = np.concatenate(
            [grid.gen_max_ramp_up[gens], np.full(len(caps), 0.5), grid.storage_max_p_absorb[units]]
        )
        self.down = np.concatenate(
            [grid.gen_max_ramp_down[gens], np.full(len(caps), 0.5), grid.storage_max_p_prod[units]]
        )
        self.base = np.where(self.kind == Kind.CURTAIL, 0.5, 0.0)

    def __len__(self) -> int:
        return len(self.index)

    def commands(self, x: np.ndarray) -> Commands:
        value = self.base + np.where(x > 0, x * self.up, x * self.down)
        return Commands(self.kind.astype(np.int8), self.index, value)


class BoxActions:
    """A vector in [-1, 1] per zone: redispatch, curtailment, storage, unit by unit in the grid's order.

    Redispatch goes from -1 (full ramp down) to 1 (full ramp up), 0 leaves the target alone; a cap from -1 (no power) to
    1 (released); a storage from -1 (discharging with full power) to 1 (charging). A zone without any such unit gets a
    vector of one number that does nothing.
    """

    def __init__(self, system: System, kinds: tuple[str, ...] = CONTINUOUS) -> None:
        _check_kinds(kinds)
        self.system = system
        self.levers = [_Levers(system, zone, kinds) for zone in range(system.n_zone)]
        self._spaces = tuple(spaces.Box(-1.0, 1.0, (max(1, len(levers)),), np.float32) for levers in self.levers)

    def space(self, zone: int) -> spaces.Box:
        return self._spaces[zone]

    def commands(self, zone: int, element: Any) -> Commands:
        if isinstance(element, Commands):
            return element
        x = _checked(self.system, zone, element, self._spaces[zone])
        return self.levers[zone].commands(x) if len(self.levers[zone]) else NO_COMMANDS

    def joint(self, choices: Choices) -> Action:
        return joint_of(self.system, self, choices)

    def masks(self, state: State) -> list[Mask]:
        """None for every zone: what is out of range does not exist, and ranges do not depend on the state."""
        return [None] * self.system.n_zone


class DictActions:
    """A mapping per zone: ``switch``, a number out of a menu of switching actions, and a vector per continuous kind.

    The keys of a zone are ``switch`` and those of ``redispatch``, ``curtail``, ``storage`` for which it has units.
    """

    def __init__(self, system: System, menu: Menu | None = None) -> None:
        self.system = system
        menu = menu or Menu()
        switching = tuple(kind for kind in menu.kinds if kind not in CONTINUOUS)
        self.switch = DiscreteActions(system, replace(menu, kinds=switching))
        kinds = tuple(kind for kind in CONTINUOUS if kind in menu.kinds)
        levers = [{kind: _Levers(system, zone, (kind,)) for kind in kinds} for zone in range(system.n_zone)]
        self.levers = [{kind: lever for kind, lever in of_zone.items() if len(lever)} for of_zone in levers]
        self._spaces = tuple(
            spaces.Dict(
                {"switch": self.switch.space(zone)}
                | {kind: spaces.Box(-1.0, 1.0, (len(lever),), np.float32) for kind, lever in of_zone.items()}
            )
            for zone, of_zone in enumerate(self.levers)
        )

    def space(self, zone: int) -> spaces.Dict:
        return self._spaces[zone]

    def commands(self, zone: int, element: Any) -> Commands:
        if isinstance(element, Commands):
            return element
        space = self._spaces[zone]
        if not isinstance(element, Mapping) or set(element) != set(space.keys()):
            given = sorted(element) if isinstance(element, Mapping) else type(element).__name__
            raise ValueError(
                f"{self.system.zones.agents[zone]} was given {given}: give a mapping with keys {sorted(space.keys())}"
            )
        parts = [self.switch.commands(zone, element["switch"])]
        for kind, lever in self.levers[zone].items():
            parts.append(lever.commands(_checked(self.system, zone, element[kind], space[kind], kind)))
        return concatenate(parts)

    def joint(self, choices: Choices) -> Action:
        return joint_of(self.system, self, choices)

    def masks(self, state: State) -> list[Mask]:
        """None for every zone: no mask covers a mapping; what the rules refuse is reported after the step."""
        return [None] * self.system.n_zone


def _check_kinds(kinds: tuple[str, ...]) -> None:
    wrong = [kind for kind in kinds if kind not in CONTINUOUS]
    if wrong or isinstance(kinds, str):
        raise ValueError(f"kinds is {kinds!r}: a box holds only {CONTINUOUS}")


def _checked(system: System, zone: int, element: Any, space: spaces.Space, part: str = "") -> np.ndarray:
    """The element as float64, after a look at its shape and range."""
    try:
        x = np.asarray(element, dtype=np.float64)
    except (TypeError, ValueError):
        x = np.full(space.shape or (1,), np.nan)
    if x.shape != space.shape or not (np.abs(x) <= 1).all():
        of = f" for {part}" if part else ""
        raise ValueError(
            f"{system.zones.agents[zone]} was given {element!r}{of}: give {space.shape[0] if space.shape else 1} "
            "numbers from -1 to 1, or commands made by make_action"
        )
    return x
