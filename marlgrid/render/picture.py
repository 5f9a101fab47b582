"""A picture of a state: the grid on its coordinates, zones coloured, lines coloured by their loading."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.render.layout import HEADER, HEIGHT, PANEL, WIDTH, Layout, curves, layout
from marlgrid.render.panel import draw_header, draw_panel
from marlgrid.render.style import (
    ATTACK,
    GEN_COLOURS,
    INK,
    LOAD_COLOUR,
    OUT,
    PAPER,
    PLANNED,
    RULE,
    STORAGE_COLOUR,
    TRIP,
    rho_colour,
    zone_colour,
)
from marlgrid.render.summary import connected, split_substations
from marlgrid.render.symbols import BATTERY, BOLT, GEN_MARKERS
from marlgrid.simulation.state import State

DPI = 100


def render_rgb(system: System, state: State, series: TimeSeries | None = None, *, row: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 picture of one row of a state; with the time series it shows the date too."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    draw(figure, system, state, series, row=row)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw(figure: Figure, system: System, state: State, series: TimeSeries | None = None, *, row: int = 0) -> None:
    """Draws onto a matplotlib figure of the user's, in place of what is on it."""
    figure.clear()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    plan = layout(system)
    axes.imshow(plan.backdrop, extent=(0, WIDTH, 0, HEIGHT), origin="lower", aspect="auto", interpolation="bilinear")
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    places = _places(system, state, plan, row)
    _draw_lines(axes, system, state, plan, places, row)
    _draw_elements(axes, system, state, plan, places, row)
    _draw_substations(axes, system, state, plan, row)
    axes.fill_between([WIDTH - PANEL, WIDTH], 0, HEIGHT, color="#F6F8FA", zorder=8, linewidth=0)
    axes.plot([WIDTH - PANEL] * 2, [0, HEIGHT - HEADER], color=RULE, linewidth=1, zorder=9)
    draw_header(axes, system, state, series, row)
    draw_panel(axes, system, state, row)


def busbar_offset(n_busbar: int, busbar: np.ndarray, radius: float) -> np.ndarray:
    """(n, 2) where a split substation shows a busbar: dots side by side, on a circle when there are more than two."""
    angle = np.pi * (1 - 2 * (busbar - 1) / n_busbar)
    return 1.05 * radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _places(system: System, state: State, plan: Layout, row: int) -> np.ndarray:
    """(dim_topo, 2) the dot that each place of the topology vector is drawn at."""
    sub = system.grid.topology_layout.sub
    busbar = np.maximum(state.topology.last_bus[row], 1)
    offset = busbar_offset(system.grid.n_busbar, busbar, plan.radius)
    return plan.sub[sub] + np.where(split_substations(system, state, row)[sub, None], offset, 0.0)


# ---------------------------------------------------------------------------------------------------- lines
def _draw_lines(axes: Axes, system: System, state: State, plan: Layout, places: np.ndarray, row: int) -> None:
    grid, rho = system.grid, state.rho[row]
    paths = curves(places[grid.line_or_pos_topo_vect], places[grid.line_ex_pos_topo_vect], plan.bend)
    live = connected(system, state, row)
    thin = 0.72 if grid.n_line > 80 else 1.0
    width = thin * (1.5 + 2.7 * np.clip(rho, 0, 1.3))
    over = live & (rho > 1)
    axes.add_collection(LineCollection(list(paths[over]), linewidths=width[over] + 7, colors=TRIP + "40", zorder=2))
    axes.add_collection(LineCollection(list(paths[live]), linewidths=width[live] + 1.6, colors=PAPER, zorder=2))
    axes.add_collection(
        LineCollection(list(paths[live]), linewidths=width[live], colors=rho_colour(rho[live]), zorder=3)
    )
    attacked = state.attack.remaining[row] > 0
    planned = (state.injections.time_next_maintenance[row] == 0) | (state.injections.hazard_duration[row] > 0)
    for chosen, colour in (
        (~live & ~attacked & ~planned, OUT),
        (~live & planned & ~attacked, PLANNED),
        (attacked, ATTACK),
    ):
        dashes = LineCollection(list(paths[chosen]), linewidths=1.9 * thin, colors=colour, zorder=3)
        dashes.set_linestyle((0, (3.5, 2.2)))
        axes.add_collection(dashes)
    _draw_middles(axes, system, state, paths[:, paths.shape[1] // 2], row)


def _draw_middles(axes: Axes, system: System, state: State, middle: np.ndarray, row: int) -> None:
    """What stands on the middle of a line: transformer, bolt and steps left of an attack, cross of a trip."""
    size = _size(system)
    trafo = middle[system.grid.line_is_trafo]
    axes.scatter(*trafo.T, s=26 * size, marker="o", facecolor=PAPER, edgecolor=INK, linewidth=1.0, zorder=4)
    axes.scatter(*trafo.T, s=5 * size, marker="o", facecolor=INK, linewidth=0, zorder=4)
    tripped = state.disc_lines[row] >= 0
    axes.scatter(
        *middle[tripped].T,
        s=130 * max(size, 0.55),
        marker="X",
        facecolor=TRIP,
        edgecolor=PAPER,
        linewidth=1.2,
        zorder=7,
    )
    attacked = np.flatnonzero(state.attack.remaining[row] > 0)
    axes.scatter(
        *middle[attacked].T,
        s=330 * max(size, 0.55),
        marker="o",
        facecolor=ATTACK,
        edgecolor=PAPER,
        linewidth=1.4,
        zorder=7,
    )
    axes.scatter(*middle[attacked].T, s=150 * max(size, 0.55), marker=BOLT, facecolor="#FFE066", linewidth=0, zorder=7)
    for line in attacked:
        x, y = middle[line] + (0, -11 - 8 * size)
        label = axes.text(
            x, y, f"{state.attack.remaining[row][line]} left", size=7, color=ATTACK, ha="center", va="center"
        )
        label.set(zorder=7, fontweight="bold", bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8})


# ---------------------------------------------------------------------------------------------------- elements
def _draw_elements(axes: Axes, system: System, state: State, plan: Layout, places: np.ndarray, row: int) -> None:
    grid, flow = system.grid, state.flow
    topo = state.topology.topo_vect[row]
    for owner, angle, position in (
        (grid.gen_to_subid, plan.gen_angle, grid.gen_pos_topo_vect),
        (grid.load_to_subid, plan.load_angle, grid.load_pos_topo_vect),
        (grid.storage_to_subid, plan.storage_angle, grid.storage_pos_topo_vect),
    ):
        spots = _spots(plan, owner, angle)
        stubs = np.stack([places[position], spots], axis=1)[topo[position] > 0]
        axes.add_collection(LineCollection(list(stubs), linewidths=0.9, colors=INK, alpha=0.65, zorder=3.5))
    gens, loads = _spots(plan, grid.gen_to_subid, plan.gen_angle), _spots(plan, grid.load_to_subid, plan.load_angle)
    unit = max(float(np.max(grid.gen_pmax, initial=1.0)), 1.0)
    for kind, marker in GEN_MARKERS.items():
        chosen = np.array([name == kind for name in grid.gen_type], dtype=bool)
        size = _size(system) * (42 + 75 * np.sqrt(np.clip(grid.gen_pmax[chosen] / unit, 0, 1)))
        on = flow.gen_p[row][chosen] > 0.05
        for shown, fill in ((on, GEN_COLOURS[kind]), (~on, PAPER)):
            style = {"facecolor": fill, "edgecolor": GEN_COLOURS[kind], "linewidth": 1.1, "zorder": 6, "marker": marker}
            axes.scatter(*gens[chosen][shown].T, s=size[shown], **style)
    heavy = np.sqrt(np.clip(flow.load_p[row] / max(float(np.max(flow.load_p[row], initial=1.0)), 1.0), 0, 1))
    axes.scatter(
        *loads.T,
        s=_size(system) * (30 + 60 * heavy),
        marker="v",
        facecolor=LOAD_COLOUR,
        edgecolor=PAPER,
        linewidth=0.8,
        zorder=6,
    )
    _draw_storages(axes, system, state, _spots(plan, grid.storage_to_subid, plan.storage_angle), row)


def _draw_storages(axes: Axes, system: System, state: State, spots: np.ndarray, row: int) -> None:
    """A battery, filled as far as it is charged."""
    grid, size = system.grid, 150 * _size(system)
    charge = np.clip(state.dispatch.storage_charge[row] / np.maximum(grid.storage_emax, 1e-9), 0, 1)
    axes.scatter(*spots.T, s=size, marker=BATTERY, facecolor=PAPER, edgecolor=STORAGE_COLOUR, linewidth=1.2, zorder=6)
    half = np.sqrt(size) * DPI / 72 / 2
    for (x, y), level in zip(spots, charge, strict=True):
        axes.fill_between(
            [x - 0.42 * half, x + 0.42 * half],
            y - 0.8 * half,
            y + (1.5 * level - 0.8) * half,
            color=STORAGE_COLOUR,
            zorder=6,
            linewidth=0,
        )


def _spots(plan: Layout, owner: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return plan.sub[owner] + plan.reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _size(system: System) -> float:
    """Symbols shrink on large grids."""
    return float(np.clip(layout(system).radius / 10.0, 0.42, 1.15))


# ---------------------------------------------------------------------------------------------------- substations
def _draw_substations(axes: Axes, system: System, state: State, plan: Layout, row: int) -> None:
    grid, split = system.grid, split_substations(system, state, row)
    edge = [zone_colour(zone) for zone in system.zones.labels]
    area = (2 * plan.radius * 72 / DPI) ** 2
    whole = np.flatnonzero(~split)
    axes.scatter(
        *plan.sub[whole].T, s=area, facecolor=PAPER, edgecolor=[edge[s] for s in whole], linewidth=1.8, zorder=5
    )
    for s in np.flatnonzero(split).tolist():
        offset = busbar_offset(grid.n_busbar, np.arange(1, grid.n_busbar + 1), plan.radius)
        dots = plan.sub[s] + offset
        axes.plot(
            *dots.T,
            color=edge[s],
            linewidth=2.9 * plan.radius * 72 / DPI,
            solid_capstyle="round",
            zorder=4.6,
            alpha=0.35,
        )
        axes.scatter(*dots.T, s=0.62 * area, facecolor=edge[s], edgecolor=PAPER, linewidth=1.2, zorder=5)
    if grid.n_sub > 60:
        return
    for s, (x, y) in enumerate(plan.sub):
        shift = (0.0, 0.0) if not split[s] else (0.0, -1.9 * plan.radius)
        axes.text(x + shift[0], y + shift[1], str(s), size=8, color=INK, ha="center", va="center_baseline", zorder=6)
