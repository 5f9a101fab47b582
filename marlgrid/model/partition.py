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
    island = connected_components(weight, directed=False)[1]
    distance = np.full((grid.n_sub, grid.n_sub), np.inf)
    for number in range(island.max() + 1):
        members = np.flatnonzero(island == number)
        distance[np.ix_(members, members)] = _resistance_distance(weight[members][:, members])
    return distance


def _resistance_distance(weight: csr_array) -> np.ndarray:
    """(n, n) between the nodes of one connected network of conductances: with node 0 grounded, the voltage that a unit
    current leaves between two nodes."""
    laplacian = np.diag(weight.sum(axis=1)) - weight.toarray()
    inverse = np.zeros(laplacian.shape)
    inverse[1:, 1:] = np.linalg.inv(laplacian[1:, 1:])
    own = np.diag(inverse)
    distance = np.maximum(own[:, None] + own[None, :] - inverse - inverse.T, 0.0)
    np.fill_diagonal(distance, 0.0)
    return distance


def partition(grid: Grid, n_zone: int) -> np.ndarray:
    """(n_sub,) int32 zone of each substation for ``n_zone`` zones, 1 to n_sub.

    Seeds far from each other grow in turn, the smallest zone first, by the neighbour closest to its seed; then border
    substations move to the neighbouring zone wherever that makes sizes more equal, or zones more compact at sizes as
    equal, and keeps the zone they leave connected. Deterministic. Zones are connected if the grid is.
    """
    distance = electrical_distance(grid)
    reach = np.where(np.isfinite(distance), distance, 10.0 * distance[np.isfinite(distance)].max() + 1.0)
    neighbours = csr_array(_susceptance(grid) > 0)
    zones = _grown(reach, neighbours, _seeds(reach, n_zone))
    _refine(zones, reach, neighbours, n_zone)
    return zones


def numbered_by_first(labels: np.ndarray) -> np.ndarray:
    """(n_sub,) int32: the same partition with zones numbered in the order of their smallest substation."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse.reshape(-1)]


def is_connected(neighbours: np.ndarray | csr_array, members: np.ndarray) -> bool:
    """True if the substations ``members`` hang together by lines among themselves."""
    inside = csr_array(neighbours[members][:, members])
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


def _grown(distance: np.ndarray, neighbours: csr_array, seeds: list[int]) -> np.ndarray:
    zones = np.full(len(distance), -1, dtype=np.int32)
    beside = np.zeros((len(seeds), len(distance)), dtype=bool)
    size = np.zeros(len(seeds), dtype=np.int64)

    def join(sub: int, zone: int) -> None:
        zones[sub] = zone
        beside[zone, _neighbours_of(neighbours, sub)] = True
        size[zone] += 1

    for zone, sub in enumerate(seeds):
        join(sub, zone)
    while (free := zones < 0).any():
        for zone in np.argsort(size, kind="stable").tolist():
            candidates = np.flatnonzero(free & beside[zone])
            if len(candidates):
                break
        else:
            # What is left hangs on no zone (an island of its own): the smallest zone takes it.
            zone, candidates = int(np.argmin(size)), np.flatnonzero(free)
        join(int(candidates[np.argmin(distance[seeds[zone], candidates])]), zone)
    return zones


def _neighbours_of(neighbours: csr_array, sub: int) -> np.ndarray:
    return neighbours.indices[neighbours.indptr[sub] : neighbours.indptr[sub + 1]]


def _refine(zones: np.ndarray, distance: np.ndarray, neighbours: csr_array, n_zone: int) -> None:
    """Moves border substations, in place, while sum(size ** 2) falls, or compactness improves at the same sum."""
    total = distance @ np.eye(n_zone)[zones]
    fixed: dict[int, set[int]] = {}
    for _ in range(MAX_MOVES_PER_SUB * len(zones)):
        move = _best_move(zones, total, neighbours, fixed)
        if move is None:
            return
        sub, new = move
        old = int(zones[sub])
        total[:, old] -= distance[:, sub]
        total[:, new] += distance[:, sub]
        zones[sub] = new
        for changed in (old, new):
            fixed.pop(changed, None)


def _best_move(
    zones: np.ndarray, total: np.ndarray, neighbours: csr_array, fixed: dict[int, set[int]]
) -> tuple[int, int] | None:
    """The (substation, new zone) that improves most, or None.

    ``total`` (n_sub, n_zone): sum of the distances to the members of each zone; ``fixed``: which members of a zone
    cannot leave it, filled in where it is missing.
    """
    n_zone = total.shape[1]
    size = np.bincount(zones, minlength=n_zone)
    ends = np.repeat(np.arange(len(zones)), np.diff(neighbours.indptr))
    pairs = np.unique(ends * n_zone + zones[neighbours.indices])
    sub, new = pairs // n_zone, pairs % n_zone
    kept = (new != zones[sub]) & (size[zones[sub]] > 1)
    sub, new = sub[kept], new[kept]
    old = zones[sub]
    # Change of sum(size ** 2) is 2 (size[new] - size[old] + 1), then the mean distance to the zone's members.
    evener = size[new] - size[old] + 1
    closer = total[sub, new] / size[new] - total[sub, old] / (size[old] - 1)
    for move in np.lexsort((closer, evener)).tolist():
        if evener[move] > 0 or (evener[move] == 0 and closer[move] >= -1e-9):
            return None
        zone = int(old[move])
        if zone not in fixed:
            fixed[zone] = _fixed(neighbours, np.flatnonzero(zones == zone))
        if sub[move] not in fixed[zone]:
            return int(sub[move]), int(new[move])
    return None


def _fixed(neighbours: csr_array, members: np.ndarray) -> set[int]:
    """The members of a zone without which the others would not hang together."""
    import networkx as nx

    graph = nx.from_scipy_sparse_array(neighbours[members][:, members])
    if nx.is_connected(graph):
        return set(members[list(nx.articulation_points(graph))].tolist())
    return {int(sub) for sub in members if not is_connected(neighbours, members[members != sub])}
