"""How the time of a step grows with the grid, beside the bare solver's: ``python -m experiments.growth``.

One agent that does nothing steps pandapower's networks one at a time. The solver is timed where it is called; what the
step takes besides is the part around it, which should grow no faster than the number of buses. CPU seconds throughout.
Lines are limited to a multiple of what they carry at first: by its own limits the largest network ends at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pandapower.networks
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

import marlgrid
from experiments.speed import Budget, pin_to_one_core
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import Flow, PowerFlowInput
from marlgrid.powerflow.newton import NewtonPowerFlow

CASES = ("case14", "case118", "case300", "case1354pegase", "case2869pegase")
SPARE = 4.0
"""Thermal limits over the flows of a first row."""
SLOPE = 1.0
"""Largest exponent of the part of a step around the solver."""


@dataclass(frozen=True)
class Point:
    """Microseconds on one grid: medians over its steps."""

    case: str
    n_bus: int
    step: float
    solver: float
    around: float


class Timed:
    """Newton's solver, with the time of its calls."""

    def __init__(self, solver: NewtonPowerFlow) -> None:
        self.solver = solver
        self.seconds = 0.0

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        return self.solver.solve(inputs, start, rows)

    def solve_into(self, *arguments: np.ndarray) -> None:
        begun = process_time()
        self.solver.solve_into(*arguments)
        self.seconds += process_time() - begun


def measure(case: str, seconds: float) -> Point:
    """Steps a case for a time, after one episode's start that compiles what is to be compiled."""
    system, series = with_spare(*marlgrid.load_case(getattr(pandapower.networks, case)(), zones=1))
    solver = Timed(NewtonPowerFlow(system.grid))
    env = marlgrid.parallel_env((system, series), power_flow=solver)
    step, around, played = [], [], 0.0
    episode, warm_up = 0, True
    while played < seconds or len(step) < 20:
        if not env.agents:
            episode = _start(env, episode)
        solver.seconds = 0.0
        begun = process_time()
        env.step(dict.fromkeys(env.agents, 0))
        taken = process_time() - begun
        if warm_up:
            warm_up = False
            continue
        played += taken
        step.append(taken)
        around.append(taken - solver.seconds)
    whole, besides = 1e6 * median(step), 1e6 * median(around)
    tqdm.write(f"{case}: {whole:.0f} us a step, {besides:.0f} us around the solver", file=sys.stderr)
    return Point(case, system.grid.n_sub, whole, whole - besides, besides)


def with_spare(system: System, series: TimeSeries) -> tuple[System, TimeSeries]:
    """The same grid with limits that its lines keep."""
    unguarded = replace(system.parameters, no_overflow_disconnection=True)
    env = marlgrid.parallel_env((replace(system, parameters=unguarded), series))
    _start(env, 0)
    amps = env.current.flow.a_or[0]
    limited = replace(system.grid, thermal_limit=SPARE * np.maximum(amps, amps.mean()))
    return replace(system, grid=limited), series


def _start(env: Any, seed: int) -> int:
    """Starts the first episode from that seed on that has a start; returns the seed after it.

    An outage of the drawn scenario may cut off a bus of a grid with single lines to it.
    """
    for tried in range(seed, seed + 50):
        try:
            env.reset(seed=tried)
        except ValueError as error:
            if "cannot start" not in str(error):
                raise
        else:
            return tried + 1
    raise RuntimeError(f"none of 50 scenarios can start from seed {seed} on")


def slope(points: Sequence[Point], part: str) -> float:
    """Exponent of the growth with the number of buses: the slope of a straight line through the logarithms."""
    buses = np.log([point.n_bus for point in points])
    return float(np.polyfit(buses, np.log([getattr(point, part) for point in points]), 1)[0])


def table(points: Sequence[Point]) -> str:
    """Markdown."""
    rows = [
        f"| {p.case} | {p.n_bus} | {p.step:.0f} | {p.solver:.0f} | {p.around:.0f} | {p.around / p.n_bus:.2f} |"
        for p in points
    ]
    head = [
        "| case | buses | step, us | solver, us | around it, us | around it, us per bus |",
        "|---|---|---|---|---|---|",
    ]
    slopes = " | ".join(f"{slope(points, part):.2f}" for part in ("step", "solver", "around"))
    return "\n".join([*head, *rows, f"| exponent |  | {slopes} |  |"])


def draw(points: Sequence[Point], path: Path) -> None:
    """Both parts against the number of buses, with a straight line of exponent 1 through the first."""
    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    buses = np.array([point.n_bus for point in points])
    for part, label in (("step", "whole step"), ("around", "around the solver"), ("solver", "solver")):
        times = [getattr(point, part) for point in points]
        axes.plot(buses, times, marker="o", label=f"{label}: exponent {slope(points, part):.2f}")
    axes.plot(buses, points[0].around * buses / buses[0], "k:", linewidth=1, label="linear")
    axes.set(xscale="log", yscale="log", xlabel="buses", ylabel="CPU time of a step (us)")
    axes.set_title("One environment, one agent, doing nothing")
    axes.legend()
    figure.savefig(path)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.growth", description=__doc__.split("\n")[0])
    parser.add_argument("--case", nargs="+", default=list(CASES), help="names in pandapower.networks, small to large")
    parser.add_argument("--seconds", type=float, default=0.5, help="of stepping, on each grid")
    parser.add_argument("--plot", type=Path, help="file for the picture, such as docs/growth.png")
    chosen = parser.parse_args(argv)
    if len(chosen.case) < 2 or chosen.seconds <= 0:
        parser.error("give at least two grids and a positive time")
    for case in chosen.case:
        if not hasattr(pandapower.networks, case):
            parser.error(f"pandapower.networks has no {case!r}")
    return chosen


def growth(cases: Sequence[str], seconds: float) -> tuple[list[Point], Budget]:
    """The points of all grids, printed as a table, and what was promised about them."""
    points = [measure(case, seconds) for case in tqdm(cases, unit="grid", leave=False)]
    tqdm.write(table(points))
    what = f"exponent of the part of a step around the solver, {points[0].n_bus} to {points[-1].n_bus} buses"
    return points, Budget(what, SLOPE, slope(points, "around"), at_least=False, unit="")


def main(argv: Sequence[str] | None = None) -> None:
    chosen = arguments(argv)
    pin_to_one_core()
    points, budget = growth(chosen.case, chosen.seconds)
    print(budget)
    if chosen.plot is not None:
        draw(points, chosen.plot)


if __name__ == "__main__":
    main()
