"""The task that the example of training is about: which actions, which observations, which reward, which attacks."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from agents.attackers import MixedOpponent, attacker_from
from agents.do_nothing import DoNothing
from agents.team import SHARED
from experiments.attack_rewards import opponent_reward
from experiments.budgets import CASE, changes_in
from experiments.settings import TrainSettings
from experiments.zones_partitions import zones_spec
from marlgrid.compiled import kernel_in_place
from marlgrid.env.registry import make_task
from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.customising import Case
from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.frame import framed, view_frame
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.menu import Menu
from marlgrid.task.occasions import occasions
from marlgrid.task.opponents import NoOpponent, Opponent, RandomOpponent
from marlgrid.task.reward import RewardFn, WeightedSum
from marlgrid.task.rewards_difference import DifferenceReward
from marlgrid.task.task import Task

OBSERVED = (
    "rho", "line_status", "timestep_overflow", "time_before_cooldown_line", "attack_remaining", "gen_p",
    "gen_margin_up", "gen_margin_down", "target_dispatch", "actual_dispatch", "curtailment_limit", "storage_charge",
    "load_p", "time_of_day", "time_to_horizon",
)  # fmt: skip
"""What the zones see: loadings, generators, loads and the clock; substations stay whole, so busbars tell nothing."""
BUSBARS = ("topo_vect", "time_before_cooldown_sub")
"""What they see besides where substations may be split."""


def task_of(settings: TrainSettings, opponent: str | Opponent, split: str) -> Task:
    """The task against one attacker: an object, or as ``attacker_from`` takes it; ``"learned"``: it is an agent."""
    # zones that share a network need equal spaces
    pad = settings.policies == "shared"
    agent = opponent == "learned"
    if isinstance(opponent, str) and not agent:
        opponent = attacker_from(opponent)
    system, series = loaded(settings)
    task = make_task(
        # a copy, because which scenarios belong to a split is the task's own affair
        (system, copy(series)),
        opponent="agent" if agent else opponent,
        actions=partial(gentle_actions, pad=pad, splits=settings.actions == "splits"),
        pad=pad,
        observation={
            "scope": settings.observation,
            "attributes": OBSERVED + (BUSBARS if settings.actions == "splits" else ()),
        },
        reward=reward_of(settings),
        attack=terms_of(settings),
        split=split,
    )
    gain = opponent_reward(settings.opponent_reward, task.system, task.series) if agent else None
    return task if gain is None else replace(task, opponent_reward=gain)


def reward_of(settings: TrainSettings) -> RewardFn:
    """What the zones of a run gain."""
    team = MarginReward(strain=settings.strain)
    own = DifferenceReward(reward=team)
    return {"team": team, "difference": own, "both": WeightedSum(((team, 1.0), (own, 1.0)))}[settings.reward]


def terms_of(settings: TrainSettings) -> dict[str, Any] | None:
    """The changes that the attack budget makes to the attack rules of the case; None without one."""
    if settings.attack_budget == CASE:
        return None
    return changes_in(loaded(settings).system, settings.attack_budget)


def loaded(settings: TrainSettings) -> Case:
    """The system and series of a run, shared by all tasks of a process: what one generated the others need not."""
    return _loaded(settings.case, settings.partition, settings.zones, settings.tie_lines, settings.difficulty)


@lru_cache(maxsize=4)
def _loaded(case: str, partition: str, zones: int, tie_lines: str, difficulty: str) -> Case:
    return load_case(case, zones=zones_spec(partition, zones), tie_lines=tie_lines, difficulty=difficulty)


@dataclass(frozen=True)
class TrainingTask:
    """Makes the task of training in any process: attacked in a share of the episodes, on a pool of scenarios."""

    settings: TrainSettings

    def __call__(self) -> Task:
        return _training_task(self.settings)


@lru_cache(maxsize=2)
def _training_task(settings: TrainSettings) -> Task:
    """One for all environments of a process, so that they share the scenarios that were generated."""
    task = task_of(settings, "learned" if settings.opponent_learns else "none", "train")
    pool = task.series.splits["train"][: settings.scenarios]
    # a scenario costs more to generate than to play: a pool that fits into the cache is drawn from again and again
    task.series.splits = {**task.series.splits, "train": pool}
    if settings.opponent_learns:
        return task
    share = settings.attacked_share
    return replace(task, opponent=MixedOpponent((attacker_from(settings.opponent), NoOpponent()), (share, 1 - share)))


def gentle_actions(system: System, pad: bool = False, splits: bool = False) -> DiscreteActions:
    """Redispatch at full ramp, curtailment, storage, and lines put back: nothing that weakens the grid.

    A random bus split or disconnection blacks out a loaded grid within minutes, so learning starts without them;
    ``splits`` adds the busbar configurations.
    """
    return DiscreteActions(system, zone_menu(splits), pad=pad)


def zone_menu(splits: bool = False) -> Menu:
    """The ready actions of the zones."""
    return Menu(
        kinds=("line", *(["bus"] if splits else []), "redispatch", "curtail", "storage"),
        line="connect",
        redispatch=(-1.0, 1.0),
        curtail=(0.25, 0.5, 0.75, 1.0),
        storage=(-1.0, 1.0),
    )


@dataclass(frozen=True)
class MarginReward:
    """Nothing in a calm step; less the more lines are loaded above ``margin``; a blackout costs most.

    The loss at a blackout grows with the part of the episode that is left, so that the return is highest for a team
    that survives. All zones get the same.
    """

    strain: float = 1.0
    margin: float = 0.95
    blackout: float = 1.0
    left: float = 2.0

    def __call__(self, system: System, before: State, action: Action, ruling: Ruling, after: State) -> np.ndarray:
        gained = np.empty(ruling.accepted.shape)
        block = framed(system, after).memory.block
        _gains(block, float(self.strain), float(self.margin), float(self.blackout), float(self.left), gained)
        return gained


@kernel_in_place
def _gains(block, strain, margin, blackout, left, gained):  # pragma: no cover
    state = view_frame(block).state
    for e in range(gained.shape[0]):
        loaded = 0.0
        for l in range(state.rho.shape[1]):
            loaded += min(max(state.rho[e, l] - margin, 0.0), 1.0)
        value = -strain * loaded
        if state.outcome[e] > Outcome.TIME_LIMIT:
            ahead = (state.t_end[e] - state.t[e]) / max(state.t_end[e] - state.t_start[e], 1)
            value = -blackout - left * ahead
        for z in range(gained.shape[1]):
            gained[e, z] = value


def scales_of(settings: TrainSettings, task: Task) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Policy id -> (mean, std) of the observations in the steps in which the team decides."""
    scales = observation_scales(task, settings.act_above)
    if settings.policies == "independent":
        return scales
    means, deviations = (np.array(part) for part in zip(*scales.values(), strict=True))
    return {SHARED: (means.mean(axis=0), np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0)))}


def observation_scales(
    task: Task, act_above: float, n_episode: int = 64, max_steps: int = 96, seed: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Agent -> (mean, std) of its observations in the steps in which it would decide, if nobody ever did anything.

    Half of the episodes are attacked, whatever the task has: what an attack changes must be seen to be scaled.
    """
    task = replace(task, opponent=MixedOpponent((RandomOpponent(), NoOpponent())), opponent_agent=False)
    rng = np.random.default_rng(seed)
    split = task.series.splits[task.split]
    scenario = np.array([split[int(k)] for k in rng.integers(len(split), size=n_episode)])
    last = np.array([task.series.n_rows(int(number)) - 1 - max_steps for number in scenario])
    start = rng.integers(0, np.maximum(last, 1))
    episode, outputs = task.reset(rng.integers(2**62, size=n_episode), scenario, start, np.full(n_episode, max_steps))
    seen: dict[str, list[np.ndarray]] = {agent: [] for agent in task.zones}
    idle = DoNothing()
    while episode.state.running.any():
        rows = episode.state.running & occasions(task.system, episode.state, act_above)
        for agent, parts in seen.items():
            parts.append(outputs.observations[agent][rows])
        episode, outputs = task.step(episode, idle.act(task, episode, outputs, ())[0])
    return {agent: _scale(np.concatenate(parts)) for agent, parts in seen.items()}


def _scale(seen: np.ndarray, floor: float = 0.05, reach: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, at least as large as that nothing seen is more than ``reach`` of them away.

    What is almost always 0, such as the steps left of an attack on a line, would otherwise drown all else when it is
    not: a hundred deviations of one input and every neuron of the first layer is at its end. ``floor`` keeps what never
    changed from being blown up.
    """
    if len(seen) == 0:
        return np.zeros(seen.shape[1], np.float32), np.ones(seen.shape[1], np.float32)
    mean = seen.mean(axis=0)
    return mean, np.maximum(np.maximum(seen.std(axis=0), floor), np.abs(seen - mean).max(axis=0) / reach)
