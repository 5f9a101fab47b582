"""What is learnt: a system, its series and a solver, with action spaces, observations, rewards and an opponent.

A task holds no episode. ``reset`` and ``step`` take and give episodes as values, any number of them at once, so the
same object serves one PettingZoo environment and a batch of hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from marlgrid import seeding
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation import step as simulation
from marlgrid.simulation.action import Action, Attack, Commands, no_attack
from marlgrid.simulation.frame import Memory
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.accounts import Demand, Figures, account, glance, zero_totals
from marlgrid.task.action_view import ActionView
from marlgrid.task.actions import INT64, Mask, ZoneActions
from marlgrid.task.attack_actions import AttackActions, attack_actions
from marlgrid.task.commands import make_action
from marlgrid.task.features import OPPONENT, ObservationFn
from marlgrid.task.occasions import asked_and_over, everywhere
from marlgrid.task.opening import limits, opening
from marlgrid.task.opponents import Opponent
from marlgrid.task.reward import of_running
from marlgrid.task.reward_values import RewardFn, bound, values_of

STREAM_SCENARIO = 101


class Episode(NamedTuple):
    """A batch of episodes as they stand. ``state.take`` and ``state.put`` work on it too."""

    state: State
    opponent: Any
    """Memory of the scripted opponent."""
    totals: np.ndarray
    """Sums over the episode, see ``accounts``."""


class Outputs(NamedTuple):
    """What the agents get. The dicts are fresh, the same agents and keys at every step."""

    observations: dict[str, np.ndarray]
    """Agent -> (n_env, n) float32."""
    masks: dict[str, Mask]
    """Agent -> (n_env, n_action) int8, or a tuple of such; empty where no mask exists or none is wanted."""
    rewards: dict[str, np.ndarray]
    """Agent -> (n_env,) float64."""
    terminated: np.ndarray
    """(n_env,) bool: the grid is lost."""
    truncated: np.ndarray
    """(n_env,) bool: the time limit is reached."""
    figures: Figures
    """What the infos show."""
    asked: np.ndarray
    """(n_env,) bool: the zones have something to decide, see ``occasions``; observations and masks mean something
    there, and where an episode is over."""

    @property
    def infos(self) -> dict[str, dict[str, np.ndarray]]:
        """Agent -> key -> (n_env,) float64, see ``accounts``."""
        return self.figures.infos()


@dataclass(frozen=True, eq=False)
class Task:
    """The system, what drives it, and the plug-ins that make it a multi-agent task."""

    system: System
    series: TimeSeries
    solver: PowerFlow
    actions: ZoneActions
    observation: ObservationFn
    reward: RewardFn
    opponent: Opponent | None = None
    """Scripted attacker."""
    opponent_agent: bool = False
    """True: ``opponent_0`` is an agent."""
    opponent_reward: RewardFn | None = None
    """Reward of the opponent agent; None for minus the mean of the zones'."""
    masks: bool = True
    """False: no masks are computed."""
    split: str = "train"
    """Scenarios that ``reset`` draws from when none is named."""
    forecast_solver: PowerFlow | None = None
    """Solver of what is foreseen, where the data have another grid for that; None: ``solver``."""

    def __post_init__(self) -> None:
        if self.opponent is not None and self.opponent_agent:
            raise ValueError("the opponent is either an agent or scripted: give opponent_agent=True or an opponent")
        if self.opponent_agent and not (self.system.attackable.any() or self.system.attack.subs):
            raise ValueError(
                "the opponent agent has nothing to attack: name lines or subs in the system's attack rules"
            )
        bind = getattr(self.opponent, "bind", None)
        if bind is not None:
            object.__setattr__(self, "opponent", bind(self.series, self.foreseeing))
        bind_task = getattr(self.opponent, "bind_task", None)
        if bind_task is not None:
            object.__setattr__(self, "opponent", bind_task(self))
        object.__setattr__(self, "reward", bound(self.reward, self.series, self.solver))
        if self.opponent_reward is not None:
            object.__setattr__(self, "opponent_reward", bound(self.opponent_reward, self.series, self.solver))
        if self.split not in self.series.splits:
            raise ValueError(f"unknown split {self.split!r}; choose from {sorted(self.series.splits)}")

    @property
    def foreseeing(self) -> PowerFlow:
        """The solver of what is foreseen."""
        return self.solver if self.forecast_solver is None else self.forecast_solver

    # ------------------------------------------------------------------ agents and spaces
    @cached_property
    def agents(self) -> tuple[str, ...]:
        """``zone_0``, ``zone_1``, ..., then ``opponent_0`` if it is an agent."""
        return self.system.zones.agents + ((OPPONENT,) if self.opponent_agent else ())

    @cached_property
    def _agent_set(self) -> frozenset[str]:
        return frozenset(self.agents)

    @cached_property
    def zones(self) -> tuple[str, ...]:
        """The zone agents."""
        return self.system.zones.agents

    @cached_property
    def _opponent_name(self) -> str | None:
        return OPPONENT if self.opponent_agent else None

    @cached_property
    def _demand(self) -> Demand:
        return Demand(self.system, self.series)

    @cached_property
    def _observe_of(self) -> Callable[[State, np.ndarray], dict[str, np.ndarray]]:
        """Of the environments that are named, or of all where the observation cannot leave some out."""
        some: Any = getattr(self.observation, "observe_of", None)
        return some or partial(_of_all, self.observation.observe)

    @cached_property
    def _masks_of(self) -> Callable[[State, np.ndarray], list[Mask]]:
        """Of the environments that are named, or of all where the action spaces cannot leave some out."""
        some: Any = getattr(self.actions, "masks_of", None)
        return some or partial(_of_all, self.actions.masks)

    @cached_property
    def attack_actions(self) -> AttackActions:
        """What the opponent agent may answer."""
        return attack_actions(self.system)

    def observation_space(self, agent: str) -> spaces.Box:
        self._known(agent)
        return self.observation.space(agent)

    def action_space(self, agent: str) -> spaces.Space:
        self._known(agent)
        if agent == OPPONENT:
            return self.attack_actions.space
        return self.actions.space(self.zones.index(agent))

    @property
    def state_space(self) -> spaces.Box:
        return self.observation.state_space

    def central_state(self, state: State) -> np.ndarray:
        """(n_env, n) float32 in ``state_space``."""
        return self.observation.central_state(state)

    def make_action(self, keys: Mapping[str, Any]) -> Commands:
        """Commands out of a mapping such as ``{"redispatch": [("gen_0", 2.0)]}``, see ``commands.make_action``."""
        return make_action(self.system, keys)

    def describe_action(self, action: Any, agent: str | None = None) -> ActionView:
        """An action as an object: ``Commands``, a mapping for ``make_action``, or an element of the space of ``agent``.

        Raises ValueError for what is no action.
        """
        if agent is None:
            return ActionView(self.system, action if isinstance(action, Commands) else self.make_action(action))
        if agent not in self.zones:
            raise ValueError(f"{agent!r} plays no commands; the zones are {list(self.zones)}")
        return ActionView(self.system, self.actions.commands(self.zones.index(agent), action))

    # ------------------------------------------------------------------ episodes
    def reset(
        self,
        seed: int | np.ndarray,
        scenario: int | np.ndarray | None = None,
        t_start: int | np.ndarray | None = None,
        max_steps: int | np.ndarray | None = None,
        init_state: Sequence[Any] | None = None,
        thermal_limit: Sequence[Any] | None = None,
        memory: Memory | None = None,
        act_above: float = 0.0,
    ) -> tuple[Episode, Outputs]:
        """The start of one episode per seed (n_env,).

        ``scenario`` None draws from the split by the seed; ``t_start`` (default 0) is the first row of the series used;
        ``max_steps`` (default all) limits the length. ``init_state`` and ``thermal_limit`` have one entry per episode,
        see ``opening``. The states are written into ``memory`` if some is given; ``act_above`` is as for ``step``.
        Raises ValueError for what the series does not have, and for an opening that cannot be.
        """
        seed = np.array(seed, dtype=np.int64, ndmin=1)
        chosen = self._scenarios(seed) if scenario is None else _per_env("scenario", scenario, len(seed))
        start = _per_env("t_start", 0 if t_start is None else t_start, len(seed))
        rows, end = start.tolist(), [self._n_rows(number) - 1 for number in chosen.tolist()]
        if any(not 0 <= row < last for row, last in zip(rows, end, strict=True)):
            raise ValueError(f"t_start is {rows}, give a row from 0 to below {end}")
        if max_steps is not None:
            limit = _per_env("max_steps", max_steps, len(seed)).tolist()
            if min(limit) < 1:
                raise ValueError(f"max_steps is {limit}, give at least 1")
            end = [min(row + steps, last) for row, steps, last in zip(rows, limit, end, strict=True)]
        asked, amps = opening(self.system, self.series, chosen, init_state), limits(self.system.grid, thermal_limit)
        fixed = seed, chosen, start, np.array(end)
        state = simulation.initial(self.system, self.solver, self.series, *fixed, asked, amps, memory)
        planned = () if self.opponent is None else self.opponent.reset(self.system, state)
        episode = Episode(state, planned, zero_totals(len(seed), self.system.n_zone))
        return episode, self.look(episode, act_above)

    def look(self, episode: Episode, act_above: float = 0.0) -> Outputs:
        """What the agents see of episodes as they stand: after a reset, or back at a snapshot. Rewards are 0."""
        n_env = episode.state.n_env
        figures = glance(self.system, episode.state, episode.totals, self._opponent_name)
        rewards = {agent: np.zeros(n_env) for agent in self.agents}
        return self.show(episode.state, figures, rewards, act_above)

    def step(
        self,
        episode: Episode,
        choices: Mapping[str, Sequence[Any]],
        memory: Memory | None = None,
        act_above: float = 0.0,
    ) -> tuple[Episode, Outputs]:
        """One step: ``choices[agent][env]`` is an element of the agent's space (for a zone also ``Commands``).

        Episodes that are over stay as they are, whatever is chosen. The next state is written into ``memory`` if some
        is given, which must not be that of this episode: nothing else may still refer to it. With ``act_above`` zones
        are asked on occasion only (see ``occasions``), and shown nothing where they are not. Raises ValueError for a
        missing or unknown agent and for an element that is in no space, before anything happens.
        """
        episode, figures, rewards = self.advance(episode, choices, memory)
        return episode, self.show(episode.state, figures, rewards, act_above)

    def advance(
        self, episode: Episode, choices: Mapping[str, Sequence[Any]], memory: Memory | None = None
    ) -> tuple[Episode, Figures, dict[str, np.ndarray]]:
        """A ``step`` of which nothing is shown: the episode, its figures, and the agents' rewards (n_env,)."""
        before = episode.state
        self._check_choices(choices, before.n_env)
        action = self.actions.joint([choices[agent] for agent in self.zones])
        attack, planned = self._attack(episode, choices)
        after, ruling = simulation.step(self.system, self.solver, self.series, before, action, attack, memory)
        figures, totals = account(self.system, self._demand, after, episode.totals, self._opponent_name)
        rewards = self._rewards(before, action, ruling, after)
        return Episode(after, planned, totals), figures, rewards

    def show(self, state: State, figures: Figures, rewards: dict[str, np.ndarray], act_above: float = 0.0) -> Outputs:
        """What the agents get after ``advance``."""
        rows = None
        if act_above > 0:
            asked, rows = asked_and_over(self.system, state, act_above)
        else:
            asked = everywhere(state.n_env)
        seen = self.observation.observe(state) if rows is None else self._observe_of(state, rows)
        return Outputs(
            observations=seen if len(seen) == len(self.agents) else {agent: seen[agent] for agent in self.agents},
            masks=self.action_masks(state, rows) if self.masks else {},
            rewards=rewards,
            terminated=figures.terminated,
            truncated=figures.truncated,
            figures=figures,
            asked=asked,
        )

    # ------------------------------------------------------------------ parts of a step
    def _attack(self, episode: Episode, choices: Mapping[str, Sequence[Any]]) -> tuple[Attack, Any]:
        if self.opponent_agent:
            return self.attack_actions.attack(choices[OPPONENT]), ()
        if self.opponent is None:
            return no_attack(episode.state.n_env, self.system.grid.n_line), ()
        return self.opponent.attack(self.system, episode.state, episode.opponent)

    def _rewards(self, before: State, action: Action, ruling: Ruling, after: State) -> dict[str, np.ndarray]:
        values = values_of(self.reward, self.system, before, action, ruling, after)
        rewards = dict(zip(self.agents, of_running(values, before.outcome), strict=False))
        if self.opponent_agent and self.opponent_reward is not None:
            gained = values_of(self.opponent_reward, self.system, before, action, ruling, after).mean(axis=1)
            rewards[OPPONENT] = np.where(before.running, gained, 0.0)
        return rewards

    def action_masks(self, state: State, rows: np.ndarray | None = None) -> dict[str, Mask]:
        """Agent -> what the rules accept on this state, for the agents whose space has a mask.

        ``rows`` (n,) are the environments that are asked about, None for all.
        """
        of_zones = self.actions.masks(state) if rows is None else self._masks_of(state, rows)
        masks: dict[str, Mask] = {a: m for a, m in zip(self.zones, of_zones, strict=True) if m is not None}
        if self.opponent_agent:
            masks[OPPONENT] = self.attack_actions.mask(state)
        return masks

    # ------------------------------------------------------------------ starts and checks
    def _scenarios(self, seed: np.ndarray) -> np.ndarray:
        split = self.series.splits[self.split]
        drawn = seeding.uniform(seed, np.zeros_like(seed), STREAM_SCENARIO, 1)[:, 0]
        return split.start + (drawn * len(split)).astype(np.int64) * split.step

    def _n_rows(self, scenario: int) -> int:
        for split in self.series.splits.values():
            if scenario in split:
                return self.series.n_rows(scenario)
        ranges = {name: (split.start, split.stop - 1) for name, split in self.series.splits.items()}
        raise ValueError(f"there is no scenario {scenario}; the series has {ranges} (first, last)")

    def _check_choices(self, choices: Mapping[str, Sequence[Any]], n_env: int) -> None:
        # the agents in their order are found out sooner
        if tuple(choices) != self.agents and choices.keys() != self._agent_set:
            missing = sorted(set(self.agents) - set(choices))
            unknown = sorted(set(choices) - set(self.agents))
            raise ValueError(f"one action per agent is needed: missing {missing}, unknown {unknown}")
        if {*map(len, choices.values())} != {n_env}:
            agent = next(agent for agent in self.agents if len(choices[agent]) != n_env)
            raise ValueError(f"{agent} was given {len(choices[agent])} actions for {n_env} environments")

    def _known(self, agent: str) -> None:
        if agent not in self.agents:
            raise ValueError(f"unknown agent {agent!r}; the agents are {list(self.agents)}")


def _of_all(ask: Callable[[State], Any], state: State, rows: np.ndarray) -> Any:  # noqa: ARG001
    return ask(state)


def _per_env(name: str, value: int | np.ndarray, n_env: int) -> np.ndarray:
    """(n_env,) int64 out of one number or one per environment."""
    if isinstance(value, np.ndarray) and value.dtype == INT64 and value.shape == (n_env,):
        return value
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or (numbers.ndim == 1 and len(numbers) != n_env):
        raise ValueError(f"{name} is {value!r}: give a whole number, or one per environment ({n_env})")
    return numbers.astype(np.int64, copy=False) if numbers.ndim else np.full(n_env, numbers, dtype=np.int64)
