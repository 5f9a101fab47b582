"""Who owns what: substations are partitioned into zones, elements follow their substation, lines between zones are ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marlgrid.model.grid import Grid

TIE_LINES = ("both", "origin", "none")

ZoneSpec = int | str | Sequence[Sequence[int | str]] | Mapping[str, Sequence[int | str]] | Callable[[Grid], Sequence[int]]


@dataclass(frozen=True, eq=False)
class Zones:
    """A partition of the substations of one grid."""

    grid: Grid
    labels: np.ndarray
    """(n_sub,) int32 zone of each substation, 0 to n_zone - 1."""
    tie_lines: str = "both"
    """Who may switch a line between two zones: both of them, the origin's zone, or none."""

    @property
    def n_zone(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the zone agents."""
        return tuple(f"zone_{zone}" for zone in range(self.n_zone))

    # ------------------------------------------------------------------ owners, (n_element,) int32 each
    @cached_property
    def line_or(self) -> np.ndarray:
        """Zone of the origin end."""
        return self.labels[self.grid.line_or_to_subid]

    @cached_property
    def line_ex(self) -> np.ndarray:
        return self.labels[self.grid.line_ex_to_subid]

    @cached_property
    def gen(self) -> np.ndarray:
        return self.labels[self.grid.gen_to_subid]

    @cached_property
    def load(self) -> np.ndarray:
        return self.labels[self.grid.load_to_subid]

    @cached_property
    def storage(self) -> np.ndarray:
        return self.labels[self.grid.storage_to_subid]

    @cached_property
    def place(self) -> np.ndarray:
        """(dim_topo,) zone of each place in the topology vector."""
        return self.labels[self.grid.topology_layout.sub]

    @cached_property
    def is_tie(self) -> np.ndarray:
        """(n_line,) bool: the ends are in different zones."""
        return self.line_or != self.line_ex

    @cached_property
    def line_in_zone(self) -> np.ndarray:
        """(n_zone, n_line) bool: at least one end is in the zone."""
        zone = np.arange(self.n_zone)[:, None]
        return (self.line_or == zone) | (self.line_ex == zone)

    @cached_property
    def may_switch(self) -> np.ndarray:
        """(n_zone, n_line) bool: the zone may set the status of the line."""
        zone = np.arange(self.n_zone)[:, None]
        if self.tie_lines == "origin":
            return self.line_or == zone
        if self.tie_lines == "none":
            return self.line_in_zone & ~self.is_tie
        return self.line_in_zone
