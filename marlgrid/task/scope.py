"""Whose elements a reward counts: those of the whole grid, or of each zone by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from marlgrid.compiled import kernel, kernel_in_place
from marlgrid.model.system import System
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State

SCOPES = ("team", "zone")

Bound = float | np.ndarray
Range = tuple[Bound, Bound]
"""Lowest and highest value: floats, or (n_env,) where they depend on the length of the episode."""


@dataclass(frozen=True)
class Scoped:
    """Base of the rewards: ``"team"`` values the whole grid alike for all zones, ``"zone"`` each zone's elements."""

    BOUNDS: ClassVar[tuple[float, float]] = (0.0, 1.0)
    scope: str = "team"

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope is {self.scope!r}, choose from {SCOPES}")

    def range(self, system: System, n_step: Bound = math.inf) -> Range:  # noqa: ARG002 (some depend on them)
        """Lowest and highest value of a step in an episode of ``n_step`` steps."""
        return self.BOUNDS


class Groups(NamedTuple):
    """Which group an element counts in: its zone, or the one group of all."""

    n: int
    line: np.ndarray
    """(2, n_line) int32 of the origin and of the extremity."""
    line_pos: np.ndarray
    """(n_line,) place of the origin in the topology vector."""
    gen: np.ndarray
    storage: np.ndarray
    has_line: np.ndarray
    """(n_group, n_line) bool: an end of the line is in the group."""
    place: np.ndarray
    """(dim_topo,) int32 of each place in the topology vector."""

    def total(self, values: np.ndarray, group: np.ndarray) -> np.ndarray:
        """(n_env, n_group) sums of one value per element (n_env, n_element)."""
        return np.asarray(_total(values.astype(np.float64), group, self.n))

    def total_of_lines(self, values: np.ndarray) -> np.ndarray:
        """(n_env, n_group) sums of one value per line (n_env, n_line); a tie line counts in both its zones."""
        return np.asarray(_total_of_lines(values.astype(np.float64), self.line, self.n))


@lru_cache(maxsize=32)
def groups_of(system: System, scope: str) -> Groups:
    """The groups of a scope."""
    zones, grid = system.zones, system.grid
    by_zone = scope == "zone"
    one = 1 if by_zone else 0
    return Groups(
        n=system.n_zone if by_zone else 1,
        line=np.stack([zones.line_or, zones.line_ex]).astype(np.int32) * one,
        line_pos=grid.line_or_pos_topo_vect,
        gen=zones.gen.astype(np.int32) * one,
        storage=zones.storage.astype(np.int32) * one,
        has_line=zones.line_in_zone if by_zone else np.ones((1, grid.n_line), dtype=bool),
        place=zones.place.astype(np.int32) * one,
    )


def spread(values: np.ndarray, system: System) -> np.ndarray:
    """(n_env, n_zone) out of one column for all, or one per zone."""
    return values if values.shape[1] == system.n_zone else np.repeat(values, system.n_zone, axis=1)


def zero_if_failed(values: np.ndarray, ruling: Ruling, after: State) -> np.ndarray:
    """(n_env, n_zone) values, but 0 for all at a blackout and for a zone whose action was refused."""
    out = np.zeros(ruling.accepted.shape)
    _zero_if_failed(values, after.outcome, ruling.accepted, out)
    return out


def unless_lost(value: float, at_blackout: float, system: System, after: State) -> np.ndarray:
    """(n_env, n_zone) of one value, but ``at_blackout`` where the grid is lost."""
    out = np.empty((after.n_env, system.n_zone))
    _unless_lost(float(value), float(at_blackout), after.outcome, out)
    return out


# ---------------------------------------------------------------------------------------------------- kernels
# Plain loops add up each row in the same order whatever the batch; a matrix product does not.
@kernel_in_place
def _zero_if_failed(values, outcome, accepted, out):  # pragma: no cover
    n_env, n_zone = accepted.shape
    for e in range(n_env):
        for z in range(n_zone):
            if outcome[e] <= Outcome.TIME_LIMIT and accepted[e, z]:
                out[e, z] = values[e, z] if values.shape[1] == n_zone else values[e, 0]


@kernel_in_place
def _unless_lost(value, at_blackout, outcome, out):  # pragma: no cover
    for e in range(out.shape[0]):
        for z in range(out.shape[1]):
            out[e, z] = at_blackout if outcome[e] > Outcome.TIME_LIMIT else value


@kernel
def _total(values, group, n):  # pragma: no cover
    sums = np.zeros((values.shape[0], n))
    for e in range(values.shape[0]):
        for i in range(values.shape[1]):
            sums[e, group[i]] += values[e, i]
    return sums


@kernel
def _total_of_lines(values, group, n):  # pragma: no cover
    sums = np.zeros((values.shape[0], n))
    for e in range(values.shape[0]):
        for l in range(values.shape[1]):
            sums[e, group[0, l]] += values[e, l]
            if group[1, l] != group[0, l]:
                sums[e, group[1, l]] += values[e, l]
    return sums
