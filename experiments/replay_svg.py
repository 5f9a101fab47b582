"""The grid as one SVG drawing whose lines and marks the report's script colours frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from marlgrid.model.system import System
from marlgrid.render.layout import N_POINT, Layout, curves, layout
from marlgrid.render.style import (
    ATTACK,
    GEN_COLOURS,
    INK,
    LOAD_COLOUR,
    OUT,
    PAPER,
    PLANNED,
    STORAGE_COLOUR,
    TRIP,
    hex_colour,
    rho_colour,
    zone_colour,
)

MARGIN = 14.0
"""Around the zones' stains."""
DARKEST = 130
"""Loading in percent from which on the colour stays the same."""
STATUS_COLOURS = {"o": OUT, "a": ATTACK, "p": PLANNED}
BOLT = "M2.2-10-5.6 1.4h4.6L-3.2 10 5.6-2H1z"
"""Lightning around the origin."""


def palette() -> list[str]:
    """Colour by loading in percent, 0 to ``DARKEST``."""
    return [hex_colour(colour) for colour in rho_colour(np.arange(DARKEST + 1) / 100)]


def drawing(system: System) -> str:
    """An ``<svg>`` with a path ``l<k>`` and a glow ``h<k>`` for each line k, and hidden ``p<k>``, ``a<k>``, ``t<k>``.

    ``p<k>`` takes the loading in words, ``a<k>`` is the bolt of an attack, ``t<k>`` the cross of a trip with the number
    of its wave; ``s<j>`` is substation j.
    """
    plan = layout(system)
    margin = _stain(plan) + MARGIN
    low, high = plan.sub.min(axis=0) - margin, plan.sub.max(axis=0) + margin
    width, height = (high - low).tolist()
    sub = _flipped(plan.sub, low, high)
    grid = system.grid
    paths = curves(sub[grid.line_or_to_subid], sub[grid.line_ex_to_subid], -plan.bend)
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="the grid">',
        *_zones(system, plan, sub),
        *_lines(system, paths),
        *_elements(system, plan, sub),
        *_substations(system, plan, sub),
        *_marks(paths),
        "</svg>",
    ]
    return "\n".join(parts)


def _flipped(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Into the drawing's frame, where y grows downwards."""
    return np.stack([points[:, 0] - low[0], high[1] - points[:, 1]], axis=1)


def _stain(plan: Layout) -> float:
    """How far the colour of a zone reaches around its lines."""
    return 20.0 + 3.2 * plan.radius


def _zones(system: System, plan: Layout, sub: np.ndarray) -> Iterator[str]:
    """A soft stain around the substations and inner lines of each zone."""
    grid, zones = system.grid, system.zones
    reach = _stain(plan)
    for zone in range(system.n_zone):
        colour = zone_colour(zone)
        yield f'<g opacity="0.15" stroke="{colour}" stroke-width="{2 * reach:.1f}" stroke-linecap="round">'
        for k in np.flatnonzero((zones.line_or == zone) & ~zones.is_tie):
            (x, y), (u, v) = sub[grid.line_or_to_subid[k]], sub[grid.line_ex_to_subid[k]]
            yield f'<path d="M{x:.0f} {y:.0f}L{u:.0f} {v:.0f}"/>'
        for x, y in sub[zones.labels == zone]:
            yield f'<path d="M{x:.0f} {y:.0f}h.1"/>'
        yield "</g>"


def _lines(system: System, paths: np.ndarray) -> Iterator[str]:
    """First the glow of overloaded lines, below all lines."""
    drawn = [_path(path) for path in paths]
    glow = "".join(f'<path id="h{k}" d="{d}"/>' for k, d in enumerate(drawn))
    yield f'<g fill="none" stroke="{TRIP}" stroke-opacity="0.25" stroke-width="13">{glow}</g>'
    yield '<g fill="none">' + "".join(f'<path id="l{k}" d="{d}"/>' for k, d in enumerate(drawn)) + "</g>"
    middle = paths[:, N_POINT // 2]
    for k in np.flatnonzero(system.grid.line_is_trafo):
        x, y = middle[k]
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{PAPER}" stroke="{INK}" stroke-width="1.3"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{INK}"/>'


def _path(points: np.ndarray) -> str:
    """A straight line, or the parabola that the points lie on."""
    (x, y), (u, v), (p, q) = points[0], points[-1], points[N_POINT // 2]
    control = 2 * p - (x + u) / 2, 2 * q - (y + v) / 2
    if np.allclose([p, q], [(x + u) / 2, (y + v) / 2]):
        return f"M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}"
    return f"M{x:.1f} {y:.1f}Q{control[0]:.1f} {control[1]:.1f} {u:.1f} {v:.1f}"


def _elements(system: System, plan: Layout, sub: np.ndarray) -> Iterator[str]:
    """Generators, loads and storages, each with a stub to its substation."""
    grid, size = system.grid, float(np.clip(plan.radius / 10.0, 0.42, 1.15))
    for kind, owner, angle in zip(grid.gen_type, grid.gen_to_subid, plan.gen_angle, strict=True):
        yield _symbol(sub[owner], angle, plan.reach, _GENERATOR.get(kind, _SQUARE), GEN_COLOURS.get(kind, INK), size)
    for owner, angle in zip(grid.load_to_subid, plan.load_angle, strict=True):
        yield _symbol(sub[owner], angle, plan.reach, _LOAD, LOAD_COLOUR, size)
    for owner, angle in zip(grid.storage_to_subid, plan.storage_angle, strict=True):
        yield _symbol(sub[owner], angle, plan.reach, _BATTERY, STORAGE_COLOUR, size)


_SQUARE = "M-6-6h12v12h-12z"
_GENERATOR = {
    "thermal": _SQUARE,
    "nuclear": "M-6.5 0-3.2-6h6.4L6.5 0 3.2 6h-6.4z",
    "hydro": "M0-7.5 6.5 0 0 7.5-6.5 0z",
    "wind": "M0-8 1.6-1 7.5 4.5 0 2-7.5 4.5-1.6-1z",
    "solar": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
}
_LOAD = "M-6-5h12L0 6.5z"
_BATTERY = "M-4.5-6h2.5v-2h4v2h2.5v14h-9z"


def _symbol(sub: np.ndarray, angle: float, reach: float, shape: str, colour: str, size: float) -> str:
    x, y = sub[0] + reach * np.cos(angle), sub[1] - reach * np.sin(angle)
    stub = (
        f'<path d="M{sub[0]:.1f} {sub[1]:.1f}L{x:.1f} {y:.1f}" stroke="{INK}" stroke-width="1" stroke-opacity="0.6"/>'
    )
    where = f'transform="translate({x:.1f} {y:.1f}) scale({size:.2f})"'
    return f'{stub}<path d="{shape}" {where} fill="{colour}" stroke="{PAPER}" stroke-width="1"/>'


def _substations(system: System, plan: Layout, sub: np.ndarray) -> Iterator[str]:
    r = plan.radius
    for s, (x, y) in enumerate(sub):
        colour = zone_colour(int(system.zones.labels[s]))
        where = f'cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"'
        yield f'<circle id="s{s}" {where} fill="{PAPER}" stroke="{colour}" stroke-width="2.4"/>'
        if system.grid.n_sub <= 60:
            place = f'x="{x:.1f}" y="{y + 0.34 * r:.1f}" font-size="{0.95 * r:.1f}"'
            yield f'<text {place} text-anchor="middle" fill="{INK}">{s}</text>'


def _marks(paths: np.ndarray) -> Iterator[str]:
    """Hidden until a frame shows them: loading, bolt and cross on the middle of each line."""
    for k, (x, y) in enumerate(paths[:, N_POINT // 2]):
        where = f'transform="translate({x:.1f} {y:.1f})"'
        yield (
            f'<text id="p{k}" x="{x:.1f}" y="{y - 13:.1f}" font-size="13" font-weight="700" text-anchor="middle" '
            f'fill="{INK}" stroke="{PAPER}" stroke-width="4" paint-order="stroke" display="none"></text>'
        )
        yield (
            f'<g id="a{k}" {where} display="none"><circle r="12" fill="{ATTACK}" stroke="{PAPER}" stroke-width="2"/>'
            f'<path d="{BOLT}" fill="#FFE066" transform="scale(.82)"/></g>'
        )
        yield (
            f'<g id="t{k}" {where} display="none"><circle r="11" fill="{TRIP}" stroke="{PAPER}" stroke-width="2"/>'
            f'<path d="M-4.5-4.5 4.5 4.5M4.5-4.5-4.5 4.5" stroke="{PAPER}" stroke-width="2.6" stroke-linecap="round"/>'
            f'<g transform="translate(11 -10)"><circle r="7" fill="{PAPER}" stroke="{TRIP}" stroke-width="1.5"/>'
            f'<text y="3.6" font-size="10" font-weight="700" text-anchor="middle" fill="{TRIP}"></text></g></g>'
        )
