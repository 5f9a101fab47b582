"""The words beside the grid: header, zones, what is wrong, legend."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.render.layout import HEADER, HEIGHT, PANEL, WIDTH
from marlgrid.render.style import (
    ATTACK,
    GEN_COLOURS,
    INK,
    LOAD_COLOUR,
    MUTED,
    OUT,
    PAPER,
    PLANNED,
    RULE,
    STORAGE_COLOUR,
    TRIP,
    clock,
    rho_colour,
    zone_colour,
)
from marlgrid.render.summary import ZoneSummary, events, zone_summaries
from marlgrid.render.symbols import BATTERY, BOLT, GEN_MARKERS
from marlgrid.simulation.state import Outcome, State

LEFT, RIGHT = WIDTH - PANEL + 18, WIDTH - 18
TOP = {"zorder": 10}
ROWS = 9
"""Zones and events that fit on the panel; of the rest the worst are shown."""


def draw_header(axes: Axes, system: System, state: State, series: TimeSeries | None, row: int) -> None:
    """Case, clock and status along the top."""
    date, step = clock(state, series, row)
    axes.fill_between([0, WIDTH], HEIGHT - HEADER, HEIGHT, color=INK, zorder=9, linewidth=0)
    y = HEIGHT - HEADER / 2
    axes.text(22, y, system.grid.name, size=15, weight="bold", color=PAPER, va="center", **TOP)
    middle = "   ".join(part for part in (date, step) if part)
    axes.text((WIDTH - PANEL) / 2 + 40, y, middle, size=11.5, color="#D5DDE4", va="center", ha="center", **TOP)
    text, colour = _status(state, row)
    box = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "none"}
    axes.text(RIGHT - 8, y, text, size=10, weight="bold", color=PAPER, va="center", ha="right", bbox=box, **TOP)


def _status(state: State, row: int) -> tuple[str, str]:
    outcome = Outcome(int(state.outcome[row]))
    if outcome == Outcome.TIME_LIMIT:
        return "TIME LIMIT REACHED", "#2A7F62"
    if outcome != Outcome.RUNNING:
        return f"LOST: {outcome.name.replace('_', ' ')}", "#B3202E"
    if (state.attack.remaining[row] > 0).any() or (state.attacked.sub[row] > 1).any():
        return "UNDER ATTACK", ATTACK
    if (state.rho[row] > 1).any():
        return "OVERLOAD", "#D8492B"
    return "RUNNING", "#2A7F62"


def draw_panel(axes: Axes, system: System, state: State, row: int) -> None:
    """The right side, from top to bottom."""
    y = HEIGHT - HEADER - 30.0
    y = _draw_zones(axes, zone_summaries(system, state, row), y)
    y = _draw_events(axes, events(system, state, row), y - 14)
    _draw_legend(axes)


def _title(axes: Axes, text: str, y: float) -> float:
    axes.text(LEFT, y, text.upper(), size=8, weight="bold", color=MUTED, va="center", **TOP)
    axes.plot([LEFT, RIGHT], [y - 10, y - 10], color=RULE, linewidth=0.8, **TOP)
    return y - 24


def _draw_zones(axes: Axes, zones: list[ZoneSummary], y: float) -> float:
    """One line per zone: colour, load, generation, highest loading."""
    columns = (LEFT + 104, LEFT + 150, RIGHT)
    for x, head in zip(columns, ("load", "gen", "max rho"), strict=True):
        axes.text(x, y, head, size=7.5, color=MUTED, va="center", ha="right", **TOP)
    y = _title(axes, "zones, MW", y)
    for zone in sorted(sorted(zones, key=lambda z: -z.max_rho)[:ROWS], key=lambda z: z.number):
        axes.scatter([LEFT + 5], [y], s=44, color=zone_colour(zone.number), linewidth=0, **TOP)
        axes.text(LEFT + 18, y, zone.name, size=9, color=INK, va="center", **TOP)
        values = (f"{zone.load_mw:.0f}", f"{zone.gen_mw:.0f}", f"{zone.max_rho:.2f}")
        for x, value in zip(columns, values, strict=True):
            axes.text(x, y, value, size=9, color=INK, va="center", ha="right", **TOP)
        bar = np.clip(zone.max_rho / 1.3, 0.0, 1.0) * 36
        axes.fill_between(
            [RIGHT - 68, RIGHT - 68 + bar],
            y - 3.5,
            y + 3.5,
            color=rho_colour(np.array(zone.max_rho)),
            linewidth=0,
            **TOP,
        )
        y -= 19
    return y


def _draw_events(axes: Axes, found: list[tuple[str, str]], y: float) -> float:
    """What is out, attacked, overloaded or split."""
    y = _title(axes, "now", y)
    if not found:
        axes.text(LEFT, y, "all lines in service, none overloaded", size=8.5, color=MUTED, va="center", **TOP)
        return y - 17
    for colour, text in found[:ROWS]:
        axes.scatter([LEFT + 5], [y], s=22, color=colour, linewidth=0, **TOP)
        axes.text(LEFT + 18, y, text, size=8.5, color=INK, va="center", **TOP)
        y -= 17
    if len(found) > ROWS:
        axes.text(LEFT + 18, y, f"and {len(found) - ROWS} more", size=8.5, color=MUTED, va="center", **TOP)
        y -= 17
    return y


def _draw_legend(axes: Axes) -> None:
    """Meaning of colours and symbols, at the bottom."""
    y = _title(axes, "line loading (rho)", 226)
    rho = np.linspace(0, 1.3, 160)
    image = rho_colour(rho)[None]
    axes.imshow(image, extent=(LEFT, RIGHT, y - 4, y + 6), aspect="auto", interpolation="nearest", zorder=10)
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    for value in (0.0, 0.5, 1.0):
        x = LEFT + (RIGHT - LEFT) * value / 1.3
        axes.text(
            x, y - 13, f"{value:g}", size=7.5, color=MUTED, ha="left" if value == 0 else "center", va="center", **TOP
        )
    axes.text(RIGHT, y - 13, "1.3", size=7.5, color=MUTED, ha="right", va="center", **TOP)
    y = _title(axes, "symbols", y - 38)
    half = LEFT + (RIGHT - LEFT) / 2 + 6
    for position, (kind, marker) in enumerate(GEN_MARKERS.items()):
        _key(axes, LEFT if position % 2 == 0 else half, y - 18 * (position // 2), marker, GEN_COLOURS[kind], kind)
    _key(axes, half, y - 36, "v", LOAD_COLOUR, "load")
    _key(axes, LEFT, y - 54, BATTERY, STORAGE_COLOUR, "storage")
    axes.scatter([half + 6], [y - 54], s=34, facecolor=PAPER, edgecolor=INK, linewidth=1, **TOP)
    axes.scatter([half + 6], [y - 54], s=6, facecolor=INK, linewidth=0, **TOP)
    axes.text(half + 20, y - 54, "transformer", size=8.5, color=INK, va="center", **TOP)
    axes.scatter([LEFT + 6], [y - 72], s=100, color=ATTACK, linewidth=0, **TOP)
    axes.scatter([LEFT + 6], [y - 72], s=45, marker=BOLT, color="#FFE066", linewidth=0, **TOP)
    axes.text(LEFT + 20, y - 72, "attacked", size=8.5, color=INK, va="center", **TOP)
    _key(axes, half, y - 72, "X", TRIP, "tripped now")
    for x, colour, text in ((LEFT, OUT, "out"), (half, PLANNED, "maintenance")):
        axes.plot([x - 2, x + 14], [y - 90] * 2, color=colour, linewidth=1.9, linestyle=(0, (2.6, 1.6)), **TOP)
        axes.text(x + 20, y - 90, text, size=8.5, color=INK, va="center", **TOP)


def _key(axes: Axes, x: float, y: float, marker: object, colour: str, text: str) -> None:
    axes.scatter([x + 6], [y], s=46, marker=marker, color=colour, linewidth=0.8, **TOP)
    axes.text(x + 20, y, text, size=8.5, color=INK, va="center", **TOP)
