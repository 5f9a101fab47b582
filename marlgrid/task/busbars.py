"""The busbar configurations that a substation offers as ready actions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from marlgrid.model.grid import Grid


def configurations(grid: Grid, sub: int, limit: int | None = None) -> np.ndarray:
    """(n_configuration, n_element) int32 busbar of each element of a substation, the reference (all on 1) first.

    Configurations that differ only in the numbers of the busbars count once: the first element is on busbar 1, and
    busbars come into use in order. Each busbar in use carries at least two elements, one of them a line end, so no
    load, generator or storage is cut off. Empty when the reference is the only one.

    ``limit`` bounds their number. Kept are those that move the fewest elements off busbar 1, among equals first those
    that leave two line ends or more on each busbar (one line lost then splits nothing), then in the order of elements.
    """
    begin, end = grid.sub_start[sub], grid.sub_start[sub + 1]
    is_line = grid.topology_layout.line[begin:end] >= 0
    n = int(end - begin)
    found = [np.ones(n, dtype=np.int32)]
    for n_moved in range(2, n - 1):
        if limit is not None and len(found) >= limit:
            break
        candidates = [c for c in _moving(n, n_moved, grid.n_busbar) if _line_ends(c, is_line) >= 1]
        found += sorted(candidates, key=lambda c: _line_ends(c, is_line) < 2)
    return np.array(found[:limit]).reshape(-1, n) if len(found) > 1 else np.zeros((0, n), dtype=np.int32)


def _moving(n: int, n_moved: int, n_busbar: int) -> Iterator[np.ndarray]:
    """Configurations with ``n_moved`` elements off busbar 1, at least two elements on each busbar in use."""
    for moved in combinations(range(1, n), n_moved):
        for labels in _labels(n_moved, n_busbar - 1):
            busbars = np.ones(n, dtype=np.int32)
            busbars[list(moved)] = labels
            if np.bincount(labels)[2:].min() >= 2:
                yield busbars


def _labels(n: int, n_busbar: int) -> Iterator[list[int]]:
    """Busbars (from 2 on) of the moved elements: a new busbar is the lowest that is free."""

    def extended(head: list[int]) -> Iterator[list[int]]:
        if len(head) == n:
            yield head
            return
        for label in range(2, min(max(head) + 1, n_busbar + 1) + 1):
            yield from extended([*head, label])

    if n_busbar >= 1:
        yield from extended([2])


def _line_ends(busbars: np.ndarray, is_line: np.ndarray) -> int:
    """Fewest line ends on a busbar in use."""
    return int(np.bincount(busbars[is_line], minlength=busbars.max() + 1)[1:].min())
