"""Plays the same actions on the same data in Grid2Op and in marlgrid, step by step, and says where they first differ.

``python -m experiments.parity --case l2rpn_case14_sandbox --steps 2000 --policy random``
``python -m experiments.parity --case all --policy all --steps 2000 --simulate 200 --jobs 2``

Grid2Op's attacks and outages are replayed here. Integers and booleans must be equal, flows, voltages and angles agree
to 1e-3 (they are single precision there). Where the dispatch differs by more than 0.05 MW, ours must be within its
limits and no worse than Grid2Op's by its own objective; the run goes on with Grid2Op's. Several environments or
policies are played in processes of their own; what ``--results`` holds already is not played again. Needs grid2op.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from experiments.parity_actions import POLICIES
from experiments.parity_lock_step import LockStep
from experiments.parity_sweep import as_table, runs_asked, sweep
from experiments.parity_worlds import CASES

ALL = "all"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.parity", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--case", nargs="+", default=["l2rpn_case14_sandbox"], metavar="NAME",
        help="environments that grid2op ships, or 'all'",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--policy", nargs="+", choices=(*POLICIES, ALL), default=["random"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--simulate", type=int, default=0, metavar="N", help="compare what-if answers on N states of each environment"
    )
    parser.add_argument("--limits", type=float, default=1.0, metavar="RATIO", help="scale thermal limits: lines trip")
    parser.add_argument("--jobs", type=int, default=1, help="processes, for several environments or policies")
    parser.add_argument("--results", type=Path, default=Path("runs/parity.jsonl"), help="of several runs, a line each")
    asked = parser.parse_args(arguments)
    cases = CASES if ALL in asked.case else tuple(asked.case)
    policies = POLICIES if ALL in asked.policy else tuple(asked.policy)
    if len(cases) * len(policies) == 1:
        return _one(cases[0], policies[0], asked)
    return _several(cases, policies, asked)


def _one(case: str, policy: str, asked: argparse.Namespace) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = LockStep(case, asked.limits).run(policy, asked.steps, asked.simulate, asked.seed)
    print(f"case={case} policy={policy} seed={asked.seed}\n{tally}")
    return 1 if tally.mismatches else 0


def _several(cases: tuple[str, ...], policies: tuple[str, ...], asked: argparse.Namespace) -> int:
    wanted = runs_asked(cases, policies, asked.steps, asked.simulate, asked.seed, asked.limits)
    try:
        runs = sweep(wanted, asked.results, asked.jobs)
    except KeyboardInterrupt:
        print(f"interrupted; what had ended is in {asked.results}: the same command goes on from there")
        return 130
    print(as_table(runs))
    return 1 if any(run.mismatches for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
