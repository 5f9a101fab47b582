"""Who owns what: zones partition the substations, elements follow their substation, lines between zones are ties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.partition import numbered_by_first, partition

TIE_LINES = ("both", "origin", "none")

ZoneSpec = (
    int
    | str
    | Sequence[Sequence[int | str]]
    | Mapping[str, Sequence[int | str]]
    | Sequence[int | str]
    | Callable[[Grid], Sequence[int | str]]
)
_ALLOWED = (
    "give a number of zones, 'substation', lists of substations, a dict of lists, one label per substation, or a "
    "function from the grid to labels"
)


@dataclass(frozen=True, eq=False)
class Zones:
    """A partition of the substations of one grid."""

    grid: Grid
    labels: np.ndarray
    """(n_sub,) int32 zone of each substation, 0 to n_zone - 1."""
    tie_lines: str = "both"
    """Who may switch a line between two zones: both of them, the origin's zone, or none."""

    @cached_property
    def n_zone(self) -> int:
        return int(self.labels.max()) + 1

    @cached_property
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


def make_zones(grid: Grid, spec: ZoneSpec | Zones, tie_lines: str = "both") -> Zones:
    """The zones of a grid.

    Args:
        grid: the grid.
        spec: an int k (automatic partition into k connected zones of balanced size), ``"substation"`` (one zone
            each), a list of lists or a dict of lists of substations (numbers or names), a sequence of one label per
            substation, or a function ``Grid -> labels``. Zones of lists and dicts are numbered in their order, as are
            labels 0, 1, ..., k - 1; other labels, and automatic zones, by their smallest substation.
        tie_lines: who may switch a line between two zones: ``"both"`` of them, the ``"origin"`` zone, or ``"none"``.

    A zone need not be connected: who lists substations far apart gets one agent for all of them.

    Raises:
        ValueError: unknown ``tie_lines`` or text; k out of range; a substation that is unknown, repeated, in two zones
            or in none; an empty zone; a wrong number of labels.
        TypeError: anything else.
    """
    if tie_lines not in TIE_LINES:
        raise ValueError(f"unknown tie_lines {tie_lines!r}; choose from {list(TIE_LINES)}")
    labels = _labels(grid, spec.labels if isinstance(spec, Zones) else spec)
    return Zones(grid, np.ascontiguousarray(labels, dtype=np.int32), tie_lines)


def _labels(grid: Grid, spec: object) -> np.ndarray:
    """(n_sub,) zone of each substation."""
    if isinstance(spec, str):
        if spec != "substation":
            raise ValueError(f"unknown zones {spec!r}; the only text allowed is 'substation' (one zone each)")
        return np.arange(grid.n_sub)
    if isinstance(spec, bool):
        raise TypeError(f"zones is {spec}; {_ALLOWED}")
    if isinstance(spec, int | np.integer):
        if not 1 <= spec <= grid.n_sub:
            raise ValueError(f"{spec} zones asked for; give 1 to {grid.n_sub}, the number of substations")
        return numbered_by_first(partition(grid, int(spec)))
    if callable(spec):
        return _given_labels(grid, spec(grid))
    if isinstance(spec, Mapping):
        return grouped(grid, spec, "zone")
    if isinstance(spec, Iterable):
        entries = list(spec)
        if entries and all(isinstance(entry, Iterable) and not isinstance(entry, str) for entry in entries):
            return grouped(grid, dict(enumerate(entries)), "zone")
        return _given_labels(grid, entries)
    raise TypeError(f"zones is a {type(spec).__name__}; {_ALLOWED}")


def _given_labels(grid: Grid, given: Iterable[object]) -> np.ndarray:
    labels = np.asarray(list(given))
    if labels.shape != (grid.n_sub,):
        raise ValueError(
            f"{labels.size} zone labels of shape {labels.shape} given; give {grid.n_sub}, one per substation, or lists "
            "of substations"
        )
    if labels.dtype.kind not in "iuUO":
        raise ValueError(f"zone labels are {labels.dtype}; give whole numbers or names")
    labels = labels.astype(str) if labels.dtype.kind == "O" else labels
    names = np.unique(labels)
    in_use = labels.dtype.kind in "iu" and np.array_equal(names, np.arange(len(names)))
    return labels if in_use else numbered_by_first(labels)


def grouped(grid: Grid, groups: Mapping[object, Iterable[object]], noun: str) -> np.ndarray:
    """(n_sub,) labels out of lists of substations; the error names every problem at once, each group a ``noun``."""
    labels = np.full(grid.n_sub, -1)
    problems = []
    for zone, (name, members) in enumerate(groups.items()):
        listed = [members] if isinstance(members, str) else list(members)
        if not listed:
            problems.append(f"{noun} {name!r} is empty")
        for member in listed:
            sub = _substation(grid, member)
            if sub is None:
                problems.append(f"{noun} {name!r} lists the unknown substation {member!r}")
            elif labels[sub] == zone:
                problems.append(f"{noun} {name!r} lists {grid.name_sub[sub]} twice")
            elif labels[sub] >= 0:
                problems.append(f"{grid.name_sub[sub]} is in {noun} {list(groups)[labels[sub]]!r} and in {name!r}")
            else:
                labels[sub] = zone
    missing = [grid.name_sub[sub] for sub in np.flatnonzero(labels < 0)]
    if missing:
        problems.append(f"in no {noun}: {', '.join(missing)}")
    if problems:
        raise ValueError(
            f"{noun}s must hold each substation exactly once: "
            + "; ".join(problems)
            + f" (give numbers 0 to {grid.n_sub - 1} or names such as {grid.name_sub[0]!r})"
        )
    return labels


def _substation(grid: Grid, member: object) -> int | None:
    """Number of a substation given by number or name, None if there is none."""
    if isinstance(member, str):
        return grid.name_sub.index(member) if member in grid.name_sub else None
    if isinstance(member, int | np.integer) and not isinstance(member, bool) and 0 <= member < grid.n_sub:
        return int(member)
    return None
