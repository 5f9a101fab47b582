"""What difference rewards cost: ``python -m experiments.difference_cost``.

Steps a batch with and without them on the same states and actions, turn by turn in one process, and prints the ratio of
the CPU times. Zones act with a given probability: who does nothing costs nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from marlgrid.env.registry import make_task
from marlgrid.task.reward import reward_from
from marlgrid.task.rewards_difference import DifferenceReward
from marlgrid.task.task import Episode, Task


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.difference_cost", description=__doc__.split("\n")[2])
    parser.add_argument("--case", default="case14")
    parser.add_argument("--zones", type=int, default=None, help="number of zones; default: those of the case")
    parser.add_argument("--envs", type=int, default=64, help="environments in the batch")
    parser.add_argument("--steps", type=int, default=300, help="per share of acting zones")
    args = parser.parse_args(argv)
    team = reward_from("l2rpn")
    plain = make_task(args.case, zones=args.zones, actions={"space": "discrete", "kinds": ("redispatch",)}, reward=team)
    difference = replace(plain, reward=DifferenceReward(reward=team))
    print(
        f"{args.case}, {plain.system.n_zone} zones, batch of {args.envs}: CPU time of a step, difference / team reward"
    )
    for acting in (0.0, 0.1, 0.5, 1.0):
        seconds, forks = measured([plain, difference], args.envs, args.steps, acting)
        ratio = seconds[1] / seconds[0]
        print(
            f"zones act with probability {acting:.1f} ({forks:.2f} steps taken again per step): {ratio:.2f}", flush=True
        )


def measured(tasks: list[Task], n_env: int, n_step: int, acting: float) -> tuple[np.ndarray, float]:
    """CPU seconds of the steps by task, and how many steps were taken again for each step of an environment."""
    rng, seconds, forks, steps = np.random.default_rng(0), np.zeros(len(tasks)), 0, 0
    episode, outputs = tasks[0].reset(np.arange(n_env) % 8, scenario=np.arange(n_env) % 8)
    for number in tqdm(range(n_step), unit="step", leave=False, disable=None):
        if not episode.state.running.all():
            episode, outputs = tasks[0].reset(np.arange(n_env) % 8, scenario=np.arange(n_env) % 8)
        choices = {}
        for zone in tasks[0].zones:
            drawn = np.where(outputs.masks[zone] > 0, rng.random(outputs.masks[zone].shape), -1.0)
            drawn[:, 0] = -0.5  # nothing, where nothing else is legal
            choices[zone] = np.where(rng.random(n_env) < acting, drawn.argmax(axis=1), 0)
        after: Episode = episode
        # who begins takes turns, and the first steps warm both up
        for which in ((0, 1), (1, 0))[number % 2]:
            began = time.process_time()
            after, outputs = tasks[which].step(episode, choices)
            if number >= 10:
                seconds[which] += time.process_time() - began
        forks += sum(int((chosen > 0).sum()) for chosen in choices.values())
        steps += n_env
        episode = after
    return seconds, forks / steps


if __name__ == "__main__":
    main()
