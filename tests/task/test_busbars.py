"""Busbar configurations: all of them, once each, and none that cuts something off."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from marlgrid.model.grid import Grid
from marlgrid.task.busbars import configurations
from tests.simulation.small import small_grid
from tests.task.tasks import loaded


def brute_force(grid: Grid, sub: int) -> set[tuple[int, ...]]:
    """Every assignment, filtered by the words of the docstring."""
    begin, end = grid.sub_start[sub], grid.sub_start[sub + 1]
    is_line = grid.topology_layout.line[begin:end] >= 0
    found = set()
    for busbars in product(range(1, grid.n_busbar + 1), repeat=int(end - begin)):
        order = list(dict.fromkeys(busbars))
        if order != list(range(1, len(order) + 1)):
            continue
        groups = [np.array(busbars) == b for b in order]
        if all(group.sum() >= 2 and is_line[group].any() for group in groups):
            found.add(busbars)
    return found


@pytest.mark.parametrize("n_busbar", [2, 3])
def test_all_configurations_once_each(n_busbar):
    grid = small_grid(n_busbar=n_busbar)
    for sub in range(grid.n_sub):
        expected = brute_force(grid, sub)
        found = [tuple(c) for c in configurations(grid, sub)]
        assert len(found) == len(set(found))
        assert set(found) == (expected if len(expected) > 1 else set())


def test_all_configurations_of_case14():
    grid = loaded("case14").system.grid
    for sub in range(grid.n_sub):
        expected = brute_force(grid, sub)
        assert {tuple(c) for c in configurations(grid, sub)} == (expected if len(expected) > 1 else set())


def test_a_limit_keeps_the_smallest_moves_and_the_meshed_ones_among_them():
    grid = loaded("case118").system.grid
    sub = int(np.argmax(grid.sub_info))
    found = configurations(grid, sub, limit=64)
    assert len(found) == 64
    assert (found[0] == 1).all()
    assert (found[:, 0] == 1).all()
    moved = (found > 1).sum(axis=1)
    assert (np.diff(moved) >= 0).all()
    is_line = grid.topology_layout.line[grid.sub_start[sub] : grid.sub_start[sub + 1]] >= 0
    meshed = np.array([min((c[is_line] == 1).sum(), (c[is_line] == 2).sum()) >= 2 for c in found[1:]])
    pairs = moved[1:] == 2
    assert (np.diff(meshed[pairs].astype(int)) <= 0).all()
