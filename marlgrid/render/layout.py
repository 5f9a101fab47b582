"""Where everything stands on the picture, in pixels; it depends on the system alone."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.render.style import rgb, zone_colour

WIDTH, HEIGHT = 1240, 760
PANEL = 264
HEADER = 58
MARGIN = 74
N_POINT = 17
"""Points of the polyline that draws a line."""


class Layout(NamedTuple):
    """Positions in pixels, y upwards."""

    sub: np.ndarray
    """(n_sub, 2)."""
    radius: float
    """Of a substation."""
    gen_angle: np.ndarray
    load_angle: np.ndarray
    storage_angle: np.ndarray
    """(n_element,) radian: direction from the substation in which the element is drawn."""
    reach: float
    """Distance from the substation's centre at which elements are drawn."""
    bend: np.ndarray
    """(n_line,) how far a line bows out sideways, so that parallel lines do not hide each other."""
    backdrop: np.ndarray
    """(height / 4, width / 4, 4) RGBA picture of the zones."""


@lru_cache(maxsize=8)
def layout(system: System) -> Layout:
    """Positions for one system; worked out once."""
    grid = system.grid
    sub = _fit(grid.sub_xy)
    radius, reach = _sizes(sub)
    gen, load, storage = _element_angles(grid, sub)
    return Layout(sub, radius, gen, load, storage, reach, _bends(grid), _backdrop(system, sub))


def _fit(xy: np.ndarray) -> np.ndarray:
    """Coordinates stretched into the map's part of the picture, by no more than 1.7 times as much along one axis."""
    box = np.array([WIDTH - PANEL - 2 * MARGIN, HEIGHT - HEADER - 2 * MARGIN], dtype=float)
    low, high = xy.min(axis=0), xy.max(axis=0)
    span = np.maximum(high - low, 1e-9 * max(1.0, np.abs(xy).max()))
    scale = box / span
    scale = np.minimum(scale, 1.7 * scale.min())
    return (xy - (low + high) / 2) * scale + MARGIN + box / 2


def _sizes(sub: np.ndarray) -> tuple[float, float]:
    """Radius of a substation and reach of its elements, by how close substations stand."""
    distance = np.linalg.norm(sub[:, None] - sub[None], axis=2) + 1e9 * np.eye(len(sub))
    usual = float(np.median(distance.min(axis=1))) if len(sub) > 1 else 100.0
    radius = float(np.clip(0.17 * usual, 3.6, 14.0))
    return radius, max(2.6 * radius, 11.0)


def _element_angles(grid: Grid, sub: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of generators, loads and storages: in the widest gaps between the lines of their substation."""
    toward = sub[grid.line_ex_to_subid] - sub[grid.line_or_to_subid]
    angle = np.arctan2(toward[:, 1], toward[:, 0])
    owner = np.concatenate([grid.gen_to_subid, grid.load_to_subid, grid.storage_to_subid])
    found = np.zeros(len(owner))
    for s in range(grid.n_sub):
        mine = np.flatnonzero(owner == s)
        lines = np.concatenate([angle[grid.line_or_to_subid == s], angle[grid.line_ex_to_subid == s] + np.pi])
        found[mine] = _spread(np.unique(np.round(lines % (2 * np.pi), 6)), len(mine))
    gen, load, storage = np.split(found, np.cumsum([grid.n_gen, grid.n_load]))
    return gen, load, storage


def _spread(taken: np.ndarray, n: int) -> np.ndarray:
    """``n`` directions away from those taken: each gap is shared out evenly, the roomiest place first."""
    if n == 0:
        return np.zeros(0)
    if len(taken) == 0:
        return np.pi / 2 - 2 * np.pi * np.arange(n) / n
    start = np.sort(taken)
    width = np.diff(np.append(start, start[0] + 2 * np.pi))
    guests = np.zeros(len(start), dtype=int)
    for _ in range(n):
        guests[np.argmax(width / (guests + 2))] += 1
    angles = [start[g] + width[g] * np.arange(1, k + 1) / (k + 1) for g, k in enumerate(guests) if k]
    return np.concatenate(angles)


def _bends(grid: Grid) -> np.ndarray:
    """Sideways bow of each line in pixels: 0 for a line alone between its substations."""
    low = np.minimum(grid.line_or_to_subid, grid.line_ex_to_subid)
    high = np.maximum(grid.line_or_to_subid, grid.line_ex_to_subid)
    pair = low.astype(np.int64) * grid.n_sub + high
    bend = np.zeros(grid.n_line)
    for key in np.unique(pair):
        lines = np.flatnonzero(pair == key)
        flip = np.where(grid.line_or_to_subid[lines] == low[lines], 1.0, -1.0)
        bend[lines] = flip * 11.0 * (np.arange(len(lines)) - (len(lines) - 1) / 2)
    return bend


def _backdrop(system: System, sub: np.ndarray) -> np.ndarray:
    """A soft stain around the substations and inner lines of each zone, in the zone's colour."""
    grid, zones, step = system.grid, system.zones, 4
    inner = np.flatnonzero(~zones.is_tie)
    share = np.linspace(0, 1, 25)[None, :, None]
    start, end = sub[grid.line_or_to_subid[inner], None], sub[grid.line_ex_to_subid[inner], None]
    points = np.concatenate([sub, ((1 - share) * start + share * end).reshape(-1, 2)])
    zone = np.concatenate([zones.labels, np.repeat(zones.line_or[inner], share.size)])
    x, y = np.meshgrid(np.arange(0, WIDTH, step) + step / 2, np.arange(0, HEIGHT, step) + step / 2)
    near = np.full((system.n_zone, *x.shape), np.inf)
    for z in range(system.n_zone):
        for point in points[zone == z]:
            np.minimum(near[z], (x - point[0]) ** 2 + (y - point[1]) ** 2, out=near[z])
    owner, distance = near.argmin(axis=0), np.sqrt(near.min(axis=0))
    colours = np.array([rgb(zone_colour(z)) for z in range(system.n_zone)])
    reach = 20.0 + 3.2 * _sizes(sub)[0]
    strength = 0.17 * np.clip((reach - distance) / 12.0, 0, 1)
    return np.concatenate([colours[owner], strength[..., None]], axis=2)


def curves(start: np.ndarray, end: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """(n_line, N_POINT, 2) polylines from start to end (n_line, 2), bowed out by ``bend`` pixels in the middle."""
    along = end - start
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / length
    t = np.linspace(0, 1, N_POINT)[None, :, None]
    bow = 4 * t * (1 - t) * bend[:, None, None] * normal[:, None]
    return start[:, None] * (1 - t) + end[:, None] * t + bow
