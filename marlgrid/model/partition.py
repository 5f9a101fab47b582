"""Automatic zones: connected, of balanced sizes, electrically close inside."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from marlgrid.model.grid import Grid

MAX_MOVES_PER_SUB = 20


def electrical_distance(grid: Grid) -> np.ndarray:
    """(n_sub, n_sub) per unit: the reactance seen between two substations with every line in service, the resistance
    distance of Klein and Randic (1993) on the network of line reactances; infinite between separate islands."""
    weight = _susceptance(grid)
    laplacian = np.diag(weight.sum(axis=1)) - weight.toarray()
    inverse = np.linalg.pinv(laplacian, hermitian=True)
    own = np.diag(inverse)
    distance = np.maximum(own[:, None] + own[None, :] - 2.0 * inverse, 0.0)
    island = connected_components(weight, directed=False)[1]
    return np.where(island[:, None] == island[None, :], distance, np.inf)


def partition(grid: Grid, n_zone: int) -> np.ndarray:
    """(n_sub,) int32 zone of each substation for ``n_zone`` zones, 1 to n_sub.

    Seeds far from each other grow in turn, the smallest zone first, by the neighbour closest to its seed; then border
    substations move to the neighbouring zone wherever that makes sizes more equal, or zones more compact at sizes as
    equal, and keeps the zone they leave connected. Deterministic. Zones are connected if the grid is.
    """
    distance = electrical_distance(grid)
    reach = np.where(np.isfinite(distance), distance, 10.0 * distance[np.isfinite(distance)].max() + 1.0)
    neighbours = (_susceptance(grid).toarray() > 0) & ~np.eye(grid.n_sub, dtype=bool)
    zones = _grown(reach, neighbours, _seeds(reach, n_zone))
    _refine(zones, reach, neighbours, n_zone)
    return zones


def numbered_by_first(labels: np.ndarray) -> np.ndarray:
    """(n_sub,) int32: the same partition with zones numbered in the order of their smallest substation."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse.reshape(-1)]


def is_connected(neighbours: np.ndarray, members: np.ndarray) -> bool:
    """True if the substations ``members`` hang together by lines among themselves."""
    inside = csr_array(neighbours[np.ix_(members, members)])
    return connected_components(inside, directed=False)[0] <= 1


def _susceptance(grid: Grid) -> csr_array:
    """(n_sub, n_sub) sum of 1 / |x| over the lines between two substations."""
    ends = grid.line_or_to_subid, grid.line_ex_to_subid
    between = ends[0] != ends[1]
    value = 1.0 / np.maximum(np.abs(grid.line_x_pu[between]), 1e-6)
    half = coo_array((value, (ends[0][between], ends[1][between])), shape=(grid.n_sub, grid.n_sub))
    return csr_array(half + half.T)


def _seeds(distance: np.ndarray, n_zone: int) -> list[int]:
    """Substations far from each other: the most remote one first, then always the one farthest from those chosen."""
    seeds = [int(np.argmax(distance.sum(axis=1)))]
    while len(seeds) < n_zone:
        nearest = distance[seeds].min(axis=0)
        nearest[seeds] = -1.0
        seeds.append(int(np.argmax(nearest)))
    return seeds


def _grown(distance: np.ndarray, neighbours: np.ndarray, seeds: list[int]) -> np.ndarray:
    zones = np.full(len(distance), -1, dtype=np.int32)
    zones[seeds] = np.arange(len(seeds))
    while (zones < 0).any():
        free = zones < 0
        for zone in np.argsort(np.bincount(zones[~free], minlength=len(seeds)), kind="stable"):
            border = free & neighbours[zones == zone].any(axis=0)
            if border.any():
                break
        else:
            # What is left hangs on no zone (an island of its own): the smallest zone takes it.
            zone, border = int(np.argmin(np.bincount(zones[~free], minlength=len(seeds)))), free
        candidates = np.flatnonzero(border)
        zones[candidates[np.argmin(distance[seeds[zone], candidates])]] = zone
    return zones


def _refine(zones: np.ndarray, distance: np.ndarray, neighbours: np.ndarray, n_zone: int) -> None:
    """Moves border substations, in place, while sum(size ** 2) falls, or compactness improves at the same sum."""
    for _ in range(MAX_MOVES_PER_SUB * len(zones)):
        move = _best_move(zones, distance, neighbours, n_zone)
        if move is None:
            return
        zones[move[0]] = move[1]


def _best_move(zones: np.ndarray, distance: np.ndarray, neighbours: np.ndarray, n_zone: int) -> tuple[int, int] | None:
    """The (substation, new zone) that improves most, or None."""
    size = np.bincount(zones, minlength=n_zone)
    member = np.eye(n_zone)[zones]
    spread = (distance @ member) / size
    best, chosen = (0.0, -1e-9), None
    for sub in range(len(zones)):
        old = zones[sub]
        if size[old] == 1:
            continue
        for new in np.unique(zones[neighbours[sub]]):
            # Change of sum(size ** 2) is 2 (size[new] - size[old] + 1), then the mean distance to the zone's members.
            gain = (float(size[new] - size[old] + 1), spread[sub, new] - spread[sub, old] * size[old] / (size[old] - 1))
            if new == old or gain >= best:
                continue
            rest = np.flatnonzero((zones == old) & (np.arange(len(zones)) != sub))
            if is_connected(neighbours, rest):
                best, chosen = gain, (sub, int(new))
    return chosen
