"""How far a zone sees: its own substations, those some lines away, or all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marlgrid.model.system import System

SCOPES = ("local", "neighbourhood", "global")


@dataclass(frozen=True)
class Sight:
    """``"local"``: its own substations; ``"neighbourhood"``: also those up to ``hops`` lines away; ``"global"``: all.

    Of a line that leaves what it sees, a zone sees the flows at its own end, and rho, status, counters and plans of the
    line; nothing else from beyond.
    """

    scope: str = "local"
    hops: int = 1

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"observation scope is {self.scope!r}, choose from {SCOPES}")
        if self.hops < 0:
            raise ValueError(f"hops is {self.hops}, give at least 0")

    def subs(self, system: System, zone: int) -> np.ndarray:
        """(n_sub,) bool: the substations in view of a zone."""
        grid = system.grid
        if self.scope == "global":
            return np.ones(grid.n_sub, dtype=bool)
        seen = system.zones.labels == zone
        for _ in range(self.hops if self.scope == "neighbourhood" else 0):
            reached = seen.copy()
            reached[grid.line_ex_to_subid[seen[grid.line_or_to_subid]]] = True
            reached[grid.line_or_to_subid[seen[grid.line_ex_to_subid]]] = True
            seen = reached
        return seen
