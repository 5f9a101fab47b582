"""How long does a grid last when nobody acts and nobody attacks?

``python -m experiments.survival --case simbench:1-HV-mixed--2-no_sw`` plays whole scenarios, those of the validation
split in turn, and prints for each how many steps were survived and how loaded the most loaded line ever was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

import marlgrid
from marlgrid.simulation import Outcome


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.survival", description=__doc__.split("\n")[0])
    parser.add_argument("--case", default="case14")
    parser.add_argument("--split", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--scenarios", type=int, default=8, help="how many of the split")
    parser.add_argument("--difficulty", default="default")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    env = marlgrid.parallel_env(args.case, zones=1, difficulty=args.difficulty, observation="global")
    numbers = list(env.task.series.splits[args.split])[: args.scenarios]
    shares = []
    for number in tqdm(numbers, unit="scenario", disable=None):
        steps, worst, outcome = played(env, number)
        allowed = env.task.series.n_rows(number) - 1
        shares.append(steps / allowed)
        start = str(env.task.series.start(number))[:10]
        tqdm.write(f"scenario {number} ({start}): {steps} of {allowed} steps, rho up to {worst:.2f}, {outcome.name}")
    grid = env.task.system.grid
    sizes = (
        f"{grid.n_sub} substations, {grid.n_line} lines ({grid.line_is_trafo.sum()} transformers), {grid.n_load} loads"
    )
    print(
        f"{args.case}: {sizes}, {grid.n_gen} generators, {grid.n_storage} storages ({grid.storage_emax.sum():.0f} MWh)"
    )
    print(f"survival {np.mean(shares):.1%} of {len(numbers)} scenarios' steps")


def played(env: marlgrid.GridParallelEnv, number: int) -> tuple[int, float, Outcome]:
    """Steps survived, highest rho of a step survived, and how it ended."""
    env.reset(seed=0, options={"scenario": number})
    worst = 0.0
    while env.agents:
        worst = max(worst, float(env.observe_grid().rho.max()))
        infos = env.step({"zone_0": 0})[4]
    return int(infos["zone_0"]["survived_steps"]), worst, Outcome(int(infos["zone_0"]["outcome"]))


if __name__ == "__main__":
    main()
