"""Many episodes at once, on one task and in one process: arrays with a leading ``n_envs`` axis instead of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from marlgrid.env.choices import per_env
from marlgrid.env.masks import MaskPlace, check_place, observation_space
from marlgrid.env.spare import FEW, Spare
from marlgrid.env.start import Draw, Starts, begin
from marlgrid.env.turnover import Ahead, Streams
from marlgrid.simulation.frame import framed
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.actions import Mask
from marlgrid.task.occasions import check_act_above, everywhere
from marlgrid.task.task import Episode, Outputs, Task

ARRAYS = {np.ndarray}
"""Types of actions that need no look into how they were put together."""


class VectorSteps(NamedTuple):
    """What a step of all environments gives; dicts by agent."""

    observations: dict[str, Any]
    """(n_envs, n) float32; with the mask in the observation, ``{"observation", "action_mask"}`` of such."""
    rewards: dict[str, np.ndarray]
    """(n_envs,) float64."""
    terminations: dict[str, np.ndarray]
    truncations: dict[str, np.ndarray]
    """(n_envs,) bool."""
    infos: Infos
    """(n_envs,) float64 by key, ``action_mask`` (n_envs, n_action) int8, ``final_observation`` (n_envs, n)."""


class Infos(Mapping[str, dict[str, Any]]):
    """Agent -> key -> array, put together when somebody first looks: who trains looks at few steps."""

    def __init__(self, last: Outputs, masks: Mapping[str, Mask]) -> None:
        self._last, self._masks = last, masks

    @cached_property
    def _by_agent(self) -> dict[str, dict[str, Any]]:
        infos: dict[str, dict[str, Any]] = dict(self._last.infos)
        for agent, info in infos.items():
            info["final_observation"] = self._last.observations[agent]
            if agent in self._masks:
                info["action_mask"] = self._masks[agent]
        return infos

    def of(self, env: int) -> dict[str, dict[str, Any]]:
        """Agent -> key -> float of one environment, and its ``final_observation`` (n,); without masks.

        Much quicker than to look up a number here and there in all arrays.
        """
        infos: dict[str, dict[str, Any]] = self._last.figures.infos_of(env)
        for agent, info in infos.items():
            info["final_observation"] = self._last.observations[agent][env]
        return infos

    def __getitem__(self, agent: str) -> dict[str, Any]:
        return self._by_agent[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last.observations)

    def __len__(self) -> int:
        return len(self._last.observations)

    def __repr__(self) -> str:
        return repr(self._by_agent)


class GridVectorEnv:
    """``n_envs`` episodes that reset themselves: an ended episode is replaced in the same step (same-step mode).

    Of an environment whose episode ended, ``observations`` and masks are those of the new episode, while rewards, flags
    and the figures in ``infos`` are those of the step just made. ``infos[agent]["final_observation"]`` is what
    the step led to in every environment, before any reset: the next observation for learning from the transition.

    Row ``i`` goes through the same episodes as a ``GridParallelEnv`` whose first reset got row i's seed. With each that
    is due, the next episodes of some other environments are begun, to be there at their turn.

    With ``act_above`` observations and masks are only made where a line is loaded so high, or waits to be put back:
    ``asked`` tells where. Elsewhere they mean nothing, and the zones are to idle (element 0).
    """

    def __init__(
        self,
        task: Task,
        n_envs: int = 16,
        starts: Starts | None = None,
        *,
        mask: MaskPlace = "info",
        seed: int | None = None,
        act_above: float = 0.0,
    ) -> None:
        check_act_above(act_above, task.opponent_agent)
        if n_envs < 1:
            raise ValueError(f"n_envs is {n_envs}, give at least 1")
        check_place(task, mask)
        self.task = task
        self.n_envs = n_envs
        self.starts = starts or Starts(task.series)
        self.mask, self.act_above = mask, act_above
        self.agents = list(task.agents)
        self.possible_agents = list(task.agents)
        self.action_spaces = {agent: task.action_space(agent) for agent in task.agents}
        self.observation_spaces = {agent: observation_space(task, agent, mask) for agent in task.agents}
        self.state_space = task.state_space
        self._streams = Streams(seed, n_envs)
        self._ahead: Ahead | None = None
        self._episode: Episode | None = None
        self._asked = everywhere(n_envs)
        self._spare = Spare()

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of one environment."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Of one environment."""
        return self.action_spaces[agent]

    # ------------------------------------------------------------------ episodes
    def reset(
        self, seed: int | Sequence[int] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], Infos]:
        """Starts all episodes. ``seed``: one per environment, or a number for seed, seed + 1, ...

        Options, as of ``GridParallelEnv.reset``, are for the episodes that start now, not for those that follow.
        """
        self._forget_next()
        if seed is not None:
            self._streams = Streams(seed, self.n_envs)
        draws = [self._streams.next(env) for env in range(self.n_envs)]
        self._episode, outputs = self._begin(draws, options)
        self._spare, self._asked = Spare(), outputs.asked
        return self._observations(outputs), self._infos(outputs, outputs)

    def step(self, actions: Mapping[str, Any]) -> VectorSteps:
        """One step of every environment; ``actions[agent]`` holds one action for each.

        Raises ValueError or TypeError for missing or unknown agents and for what is not an action, and RuntimeError
        before the first reset.
        """
        episode = self._started("step")
        if not isinstance(actions, (dict, Mapping)):  # a dict is found out sooner
            raise TypeError(f"actions is a {type(actions).__name__}, give a dict by agent: {self.agents}")
        choices = actions if {*map(type, actions.values())} == ARRAYS else self._choices(actions)
        self._episode, figures, rewards = self.task.advance(episode, choices, self._spare.memory)
        self._spare.left(episode.state)
        last = self.task.show(self._episode.state, figures, rewards, self.act_above)
        outputs = last
        if figures.some_over:
            (ended,) = (last.terminated | last.truncated).nonzero()
            outputs = self._replace(ended, last)
        self._asked = outputs.asked
        return VectorSteps(
            self._observations(outputs),
            rewards,
            dict.fromkeys(self.agents, last.terminated),
            dict.fromkeys(self.agents, last.truncated),
            self._infos(outputs, last),
        )

    def state(self) -> np.ndarray:
        """(n_envs, n) float32 view of every whole grid, for centralised critics."""
        return self.task.central_state(self._started("state").state)

    @property
    def current(self) -> State:
        """The states of all grids."""
        episode = self._started("current")
        self._spare.lend()
        return episode.state

    @property
    def asked(self) -> np.ndarray:
        """(n_envs,) bool: where there is something to decide, see ``marlgrid.task.occasions``."""
        self._started("asked")
        return self._asked

    @property
    def max_rho(self) -> np.ndarray:
        """(n_envs,) highest loading of each grid."""
        highest: np.ndarray = self._started("max_rho").state.rho.max(axis=1)
        return highest

    def close(self) -> None:
        """Nothing is held open."""

    # ------------------------------------------------------------------ parts
    def _begin(self, draws: Iterable[Draw], options: Mapping[str, Any] | None = None) -> tuple[Episode, Outputs]:
        """The episodes that begin so."""
        starts = [self.starts.of(draw, options) for draw in draws]
        begun, outputs = begin(self.task, starts, self._spare.begun.get(len(starts)), self.act_above)
        self._spare.keep_begun(framed(self.task.system, begun.state).memory)
        return begun, outputs

    def _replace(self, ended: np.ndarray, last: Outputs) -> Outputs:
        """The next episodes in place of those that ended (n,), and the outputs of the step with what they show."""
        episode = self._started("step")
        if self._ahead is None:
            self._ahead = Ahead(self.task.system, episode, last)
        due = [env for env in ended.tolist() if env not in self._ahead.draws]
        if due:
            self._begin_next(self._ahead, due, episode.state)
        self._episode, outputs = self._ahead.replace(ended, episode, last)
        return outputs

    def _begin_next(self, ahead: Ahead, due: list[int], state: State) -> None:
        """Begins the next episodes of the environments ``due``, and of some others: those that end soonest."""
        soonest = (state.t_end - state.t).argsort(kind="stable").tolist()
        outcome = state.outcome.tolist()
        may = [env for env in soonest if outcome[env] == Outcome.RUNNING and env not in ahead.draws]
        others = may[: max(FEW - len(due), 0)]
        draws = {env: self._streams.next(env) for env in due + others}
        try:
            begun = self._begin(draws.values())
        except ValueError:
            # a start that cannot be is an error when its turn has come
            self._streams.give_back({env: draws.pop(env) for env in others})
            begun = self._begin(draws.values())
        ahead.add(draws, *begun)

    def _forget_next(self) -> None:
        """Forgets the episodes that were begun before their turn: the streams stand where the last turns left them."""
        if self._ahead is not None:
            self._streams.give_back(self._ahead.draws)
            self._ahead = None

    def _choices(self, actions: Mapping[str, Any]) -> dict[str, Any]:
        """Of each agent, one action for each environment."""
        known = self.action_spaces
        return {a: per_env(a, known[a], acts, self.n_envs) if a in known else acts for a, acts in actions.items()}

    def _started(self, what: str) -> Episode:
        if self._episode is None:
            raise RuntimeError(f"{what} needs episodes: call reset first")
        return self._episode

    def _observations(self, outputs: Outputs) -> dict[str, Any]:
        if self.mask not in ("observation", "both"):
            return dict(outputs.observations)
        return {a: {"observation": o, "action_mask": outputs.masks[a]} for a, o in outputs.observations.items()}

    def _infos(self, outputs: Outputs, last: Outputs) -> Infos:
        return Infos(last, outputs.masks if self.mask in ("info", "both") else {})
