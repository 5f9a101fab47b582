"""Single attacks by number: the opponent agent's action space, and what an attacker that looks ahead tries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces

from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.simulation.action import Attack, SubstationAttack
from marlgrid.simulation.rules import NO_DURATION, attack_mask
from marlgrid.simulation.state import State
from marlgrid.simulation.substations import substation_attack_allowed
from marlgrid.task.busbars import configurations

MAX_CONFIGURATIONS = 64
"""Busbar configurations tried on one substation, chosen as ``busbars.configurations`` says."""


class AttackActions:
    """0 attacks nothing; then come the attackable lines, then each busbar configuration of each attackable substation.

    An attack is for the longest duration unless another is given.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.space: spaces.Discrete = spaces.Discrete(1 + len(self.lines) + len(self.splits[0]))

    @cached_property
    def lines(self) -> np.ndarray:
        """Numbers of the attackable lines."""
        return np.flatnonzero(self.system.attackable)

    @cached_property
    def splits(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) number of the substation and (n, dim_topo) busbars, 0 elsewhere, of each attack on a substation."""
        grid = self.system.grid
        sub, bus = [], []
        for number in np.flatnonzero(self.system.attackable_subs).tolist():
            for busbars in configurations(grid, number, MAX_CONFIGURATIONS):
                everywhere = np.zeros(grid.dim_topo, dtype=np.int32)
                everywhere[grid.sub_start[number] : grid.sub_start[number + 1]] = busbars
                sub.append(number)
                bus.append(everywhere)
        return np.array(sub, dtype=np.int64), np.array(bus, dtype=np.int32).reshape(-1, grid.dim_topo)

    def attack(self, choices: Sequence[Any] | np.ndarray, duration: np.ndarray | None = None) -> Attack:
        """The attacks with these numbers, one per environment; ``duration`` (n_env,) in steps, None for the longest."""
        numbers = np.asarray(choices)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iub":
            numbers = np.array([self._number(element) for element in choices], dtype=np.int64)
        longest, given = self.system.attack.max_duration, NO_DURATION if duration is None else duration
        lines = np.zeros((len(numbers), self.system.grid.n_line), dtype=np.int32)
        n_split = len(self.splits[0])
        if not _strike(numbers.astype(np.int64, copy=False), self.lines, n_split, given, longest, lines):
            numbers = np.array([self._number(element) for element in choices])
        return Attack(lines, self._on_subs(numbers, duration) if n_split else None)

    def _on_subs(self, numbers: np.ndarray, duration: np.ndarray | None) -> SubstationAttack:
        grid = self.system.grid
        subs = SubstationAttack(
            np.zeros((len(numbers), grid.n_sub), np.int32), np.zeros((len(numbers), grid.dim_topo), np.int32)
        )
        for env in np.flatnonzero(numbers > len(self.lines)):
            sub, bus = (column[numbers[env] - 1 - len(self.lines)] for column in self.splits)
            subs.duration[env, sub] = self.system.attack.max_duration if duration is None else duration[env]
            subs.bus[env] = bus
        return subs

    def mask(self, state: State, duration: np.ndarray | None = None) -> np.ndarray:
        """(n_env, n_action) int8: what the rules would allow now, for ``duration`` (n_env,) steps or the longest."""
        mask = attack_mask(self.system, state, self.lines, duration)
        if len(self.splits[0]):
            allowed = substation_attack_allowed(self.system, state, duration)
            mask = np.concatenate([mask, allowed[:, self.splits[0]].astype(np.int8)], axis=1)
        return mask

    def describe(self, element: Any) -> str:
        """The attack in words."""
        number, grid = self._number(element), self.system.grid
        if number == 0:
            return "attack nothing"
        if number <= len(self.lines):
            return f"attack line {grid.name_line[self.lines[number - 1]]}"
        sub = int(self.splits[0][number - 1 - len(self.lines)])
        busbars = self.splits[1][number - 1 - len(self.lines)][grid.sub_start[sub] : grid.sub_start[sub + 1]].tolist()
        return f"attack substation {grid.name_sub[sub]}: busbars {busbars}"

    def _number(self, element: Any) -> int:
        whole = isinstance(element, (int, np.integer, np.bool_)) or (
            isinstance(element, np.ndarray) and element.ndim == 0 and element.dtype.kind in "iu"
        )
        n = int(self.space.n)
        if not whole or not 0 <= element < n:
            raise ValueError(f"opponent_0 was given action {element!r}: give a whole number from 0 (none) to {n - 1}")
        return int(element)


@lru_cache(maxsize=16)
def attack_actions(system: System) -> AttackActions:
    """The attacks of a system by number: the same object at each call."""
    return AttackActions(system)


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _strike(numbers, lines, n_split, duration, longest, out):  # pragma: no cover
    """Writes the steps for which each line is attacked; false if a number is out of range."""
    for e in range(len(numbers)):
        if not 0 <= numbers[e] <= len(lines) + n_split:
            return False
        if 0 < numbers[e] <= len(lines):
            out[e, lines[numbers[e] - 1]] = duration[e] if len(duration) else longest
    return True
