"""Thermal limits of a built-in case: from the currents of its own scenarios, scaled to the wanted difficulty.

Usage::

    python -m experiments.calibrate --case case14            # finds the limits and writes them into the case's tables
    python -m experiments.calibrate --case case14 --check    # measures the limits as they are

A line that has an alternative may carry ``scale`` times the 95 % quantile of its current over the train scenarios, all
lines in service, and at least what the thinnest conductor of its voltage level carries. A line without alternative
(a bridge) may carry 1.3 times all it ever carried: no switching could relieve it. One number, ``scale``, is found by
bisection so that doing nothing survives the wanted share of 100 validation days (no attacks); two more give the
levels "easy" and "hard".
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from agents.base import Agent
from agents.do_nothing import DoNothing
from agents.greedy import Greedy
from experiments.bootstrap import mean_interval
from experiments.evaluation import Results, Starts, evaluate
from marlgrid.env.registry import make_task
from marlgrid.model.datasets.builtin import BUILTIN_CASES, DATA
from marlgrid.model.datasets.case import load_case
from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow import power_flow
from marlgrid.powerflow.base import PowerFlowInput
from marlgrid.task.menu import Menu

QUANTILE = 0.95
BRIDGE_MARGIN = 1.3
FLOOR_A = ((100.0, 150.0), (20.0, 250.0), (0.0, 400.0))
"""(kV from which it holds, A): the smallest limit of a line of that level."""
SURVIVAL = {"easy": 0.7, "default": 0.5, "hard": 0.3}
"""Share of the steps that doing nothing is to survive."""
N_BISECTION = 9
DAY = 288
GREEDY_KINDS = ("line", "bus", "redispatch")


def observed_currents(system: System, series: TimeSeries, n_scenario: int, every: int) -> np.ndarray:
    """(n_row, n_line) A at the origins, all lines in service, in every so-many-th row of the first train scenarios."""
    scenarios = np.array(series.splits["train"][:n_scenario], dtype=np.int64)
    t = np.arange(0, series.n_rows(int(scenarios[0])), every, dtype=np.int32)
    injections = series.at(np.repeat(scenarios, len(t)), np.tile(t, len(scenarios)))
    grid, n = system.grid, len(scenarios) * len(t)
    inputs = PowerFlowInput(
        topo_vect=np.broadcast_to(grid.start_topo_vect, (n, grid.dim_topo)).copy(),
        shunt_bus=np.ones((n, grid.n_shunt), dtype=np.int32),
        gen_p=injections.gen_p,
        gen_v=injections.gen_v,
        load_p=injections.load_p,
        load_q=injections.load_q,
        storage_p=np.zeros((n, grid.n_storage)),
    )
    solver = power_flow("newton", grid)
    flow = solver.solve(inputs, np.zeros((n, grid.n_bus), dtype=complex), np.ones(n, dtype=bool))
    if not flow.converged.all():
        raise RuntimeError(f"{(~flow.converged).sum()} of {n} rows of {grid.name} have no solution: unfit injections")
    return flow.a_or


def bridges(grid: Grid) -> np.ndarray:
    """(n_line,) bool: without this line the grid falls apart."""
    found = np.zeros(grid.n_line, dtype=bool)
    for line in range(grid.n_line):
        keep = np.arange(grid.n_line) != line
        ends = grid.line_or_to_subid[keep], grid.line_ex_to_subid[keep]
        graph = coo_array((np.ones(keep.sum()), ends), shape=(grid.n_sub, grid.n_sub))
        found[line] = connected_components(graph, directed=False)[0] > 1
    return found


def limits(grid: Grid, currents: np.ndarray) -> Callable[[float], np.ndarray]:
    """Thermal limits (n_line,) A as a function of the scale."""
    usual, most = np.quantile(currents, QUANTILE, axis=0), currents.max(axis=0)
    vn_kv = grid.sub_vn_kv[grid.line_or_to_subid]
    floor = np.array([next(ampere for level, ampere in FLOOR_A if kv >= level) for kv in vn_kv])
    single = bridges(grid)

    def at(scale: float) -> np.ndarray:
        return np.round(np.where(single, np.maximum(BRIDGE_MARGIN * most, floor), np.maximum(scale * usual, floor)), 1)

    return at


def measure(system: System, series: TimeSeries, limit: np.ndarray, agent: Agent, n: int) -> Results:
    """What an agent makes of ``n`` validation days without attacks."""
    grid = replace(system.grid, thermal_limit=limit)
    system = replace(system, grid=grid, zones=replace(system.zones, grid=grid))
    task = make_task((system, series), masks=False, power_flow="newton")
    return evaluate(task, agent, Starts.of_split(task, "validation", n, DAY))


def scale_for(survival: float, survives: Callable[[float], float]) -> float:
    """The scale at which doing nothing survives so much; survival rises with the scale."""
    low, high = 0.3, 2.0
    for _ in range(N_BISECTION):
        scale = np.sqrt(low * high)
        low, high = (scale, high) if survives(scale) < survival else (low, scale)
    return float(np.sqrt(low * high))


def write(case: str, limit: np.ndarray, factors: dict[str, float], names: tuple[str, ...]) -> None:
    """Enters the limits of the default level, and the factors of the others, into the tables of a case."""
    path = DATA / case / "lines.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    for line, name in enumerate(names):
        rows[name]["thermal_limit_a"] = f"{limit[line]:.1f}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(next(iter(rows.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    path = DATA / case / "case.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | {"difficulty": factors}, indent=2) + "\n", encoding="utf-8")


def calibrate(case: str, n: int, n_train: int) -> None:
    """Finds the scale of each level, prints it, and writes the limits."""
    system, series = load_case(case)
    at = limits(system.grid, observed_currents(system, series, n_train, every=12))

    def survives(limit: np.ndarray) -> float:
        return float(measure(system, series, limit, DoNothing(), n).survival.mean())

    scale = scale_for(SURVIVAL["default"], lambda scale: survives(at(scale)))
    print(f"{case}: limits are {scale:.3f} of the {QUANTILE:.0%} quantile")
    default = at(scale)
    factors = {"easy": 1.0, "default": 1.0, "hard": 1.0}
    for level in ("easy", "hard"):
        factors[level] = round(scale_for(SURVIVAL[level], lambda factor: survives(default * factor)), 3)
        print(f"{case} {level}: {factors[level]} of that")
    write(case, default, factors, system.grid.name_line)


def check(case: str, n: int, n_greedy: int) -> None:
    """Prints what doing nothing and the greedy agent survive on the limits as they are."""
    for level in SURVIVAL:
        system, series = load_case(case, difficulty=level)
        plays: list[tuple[str, Agent, int]] = [("do-nothing", DoNothing(), n)]
        if level == "default" and n_greedy:
            plays.append(("greedy", Greedy(menu=Menu(kinds=GREEDY_KINDS)), n_greedy))
        for name, agent, count in plays:
            results = measure(system, series, system.grid.thermal_limit, agent, count)
            low, high = mean_interval(results.survival)
            print(
                f"{case} {level}: {name} survives {results.survival.mean():.1%} [{low:.1%}, {high:.1%}] "
                f"of {count} days, ends: {results.outcomes()}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=BUILTIN_CASES, default="case14")
    parser.add_argument("--check", action="store_true", help="measure only, write nothing")
    parser.add_argument("--episodes", type=int, default=100, help="validation days")
    parser.add_argument("--train", type=int, default=60, help="train scenarios whose currents are observed")
    parser.add_argument("--greedy", type=int, default=100, help="validation days of the greedy agent (0: leave it out)")
    options = parser.parse_args()
    if not options.check:
        calibrate(options.case, options.episodes, options.train)
        # The tables are cached by the process: what was written shows in a new one.
        print(f"written; run again with --case {options.case} --check to measure")
        return
    check(options.case, options.episodes, options.greedy)


if __name__ == "__main__":
    main()
