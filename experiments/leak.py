"""Whether memory grows with the number of steps: ``python -m experiments.leak`` (a million steps by default).

Prints the resident memory of this process while a batch, or one environment, is stepped over many episodes. Now
and then an agent draws any of its actions, so lines switch, busbars split, and new topologies keep coming. Their store
is bounded (32 MB); that of the scenarios is too, but large (512 MB), so few are played. Nothing else may grow.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from resource import getpagesize

import numpy as np
from tqdm import tqdm

import marlgrid
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries

ACTS = 0.005
"""Share of the steps in which the agents act: most actions drawn at random soon end an episode."""

SCENARIOS = 8


def few_scenarios(case: str) -> tuple[System, TimeSeries]:
    """The case with that many training scenarios."""
    made = marlgrid.load_case(case)
    made.series.splits["train"] = range(SCENARIOS)
    return made.system, made.series


def resident() -> float:
    """MB of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize() / 2**20


def batch(case: str, n_envs: int, steps: int, points: int) -> Iterator[tuple[int, float]]:
    """Environment steps done and MB, that often, of a batch that starts its episodes anew by itself."""
    env = marlgrid.vector_env(few_scenarios(case), n_envs=n_envs, opponent="agent", start="random")
    env.reset(seed=0)
    rng, sizes = np.random.default_rng(0), {agent: env.action_space(agent).n for agent in env.agents}
    rounds = max(1, steps // n_envs // points)
    for point in range(points):
        for _ in range(rounds):
            acts = rng.random(n_envs) < ACTS
            env.step({agent: np.where(acts, rng.integers(size, size=n_envs), 0) for agent, size in sizes.items()})
        yield (point + 1) * rounds * n_envs, resident()


def single(case: str, steps: int, points: int) -> Iterator[tuple[int, float]]:
    """The same of one PettingZoo environment, which is reset whenever an episode is over."""
    env = marlgrid.parallel_env(few_scenarios(case), opponent="agent")
    rng, sizes = np.random.default_rng(0), {agent: env.action_space(agent).n for agent in env.possible_agents}
    env.reset(seed=0)
    rounds = max(1, steps // points)
    for point in range(points):
        for _ in range(rounds):
            if not env.agents:
                env.reset()
            acts = rng.random() < ACTS
            env.step({agent: int(rng.integers(sizes[agent])) if acts else 0 for agent in env.agents})
        yield (point + 1) * rounds, resident()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.leak", description=__doc__.split("\n")[0])
    parser.add_argument("--case", default="case14")
    parser.add_argument("--steps", type=int, default=1_000_000, help="environment steps in all")
    parser.add_argument("--envs", type=int, default=64, help="environments in the batch; 1: a PettingZoo environment")
    parser.add_argument("--points", type=int, default=10, help="how often memory is read")
    chosen = parser.parse_args(argv)
    if min(chosen.steps, chosen.envs, chosen.points) < 1:
        parser.error("--steps, --envs and --points must be at least 1")
    made = (
        single(chosen.case, chosen.steps, chosen.points)
        if chosen.envs == 1
        else batch(chosen.case, chosen.envs, chosen.steps, chosen.points)
    )
    found = []
    for steps, megabytes in tqdm(made, total=chosen.points, leave=False):
        found.append(megabytes)
        tqdm.write(f"{steps:>9} steps {megabytes:8.1f} MB")
    half = found[len(found) // 2 - 1]
    print(f"growth over the second half of the steps: {found[-1] - half:.1f} MB")


if __name__ == "__main__":
    main()
