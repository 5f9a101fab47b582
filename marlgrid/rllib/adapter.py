"""A PettingZoo parallel environment as RLlib's multi-agent environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from marlgrid.rllib.price import PricedCost
from marlgrid.task.occasions import check_act_above

OBSERVATION = "observation"
MASK = "action_mask"
STATE = "state"


class RLlibParallelEnv(MultiAgentEnv):
    """Wraps a parallel environment whose observations are ``Dict(observation, action_mask)``.

    Unlike RLlib's own PettingZoo wrapper it keeps truncation apart from termination (a time limit still bootstraps the
    value), keeps one order of agents, and hands on ``render_mode`` and ``state()``.

    Args:
        par_env: the environment; its agents end together.
        with_state: adds ``par_env.state()`` to every observation under ``state``, for a centralised critic.
        act_above: agents are only asked when the highest line loading (``infos[agent]["max_rho"]``, of all zones)
            reaches this ratio, or when a line that is out may be put back (``par_env.occasion``, where it has that);
            else every agent idles (element 0 of its space), and the rewards of the idle steps are summed. 0 asks at
            every step.
        frozen: agent -> its policy, (observation (1, n), mask (1, n_action)) -> (1,) action ids, which plays it unseen
            by RLlib; where it has ``act_above``, only on such occasions. Of the agents that are left, an opponent is
            then asked only when it may attack, and the rewards in between are summed.
        cost: what the rewards are reduced by; its sum over the episode is in the infos under ``cost``.
    """

    def __init__(
        self,
        par_env: Any,
        *,
        with_state: bool = False,
        act_above: float = 0.0,
        frozen: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        cost: PricedCost | None = None,
    ) -> None:
        super().__init__()
        # each environment has a price of its own to be set
        self.cost, self._spent = copy(cost), 0.0
        self.frozen = dict(frozen or {})
        self._seen: Mapping[str, Mapping] = {}
        check_act_above(act_above, any(agent.startswith("opponent_") for agent in par_env.possible_agents))
        self.par_env, self.with_state, self.act_above = par_env, with_state, act_above
        self.possible_agents = [agent for agent in par_env.possible_agents if agent not in self.frozen]
        # RLlib's environment check wants every agent of the dicts in here, dead ones included: the list never shrinks.
        self.agents = list(self.possible_agents)
        self.metadata = dict(par_env.metadata)
        self.render_mode = par_env.render_mode
        self.action_spaces = {agent: par_env.action_space(agent) for agent in self.possible_agents}
        self.observation_spaces = {agent: self._space(agent) for agent in self.possible_agents}
        self.observation_space = spaces.Dict(self.observation_spaces)
        self.action_space = spaces.Dict(self.action_spaces)
        self._idle = {agent: idle_choice(par_env.action_space(agent)) for agent in par_env.possible_agents}
        self._skips = act_above > 0 or bool(self.frozen)
        self._looks_away = act_above > 0 and not self.frozen and cost is None and hasattr(par_env, "step_until")
        """Nobody has to see what calm steps show."""

    def reset(self, *, seed: int | None = None, options: Mapping | None = None) -> tuple[dict, dict]:
        """First observations. With ``act_above`` only idling is open to the agents in a calm first step."""
        seed = None if seed is None else int(seed)
        observations, infos = self.par_env.reset(seed=seed, options=options)
        self._seen, self._spent = observations, 0.0
        return self._shown(observations, infos, self._skips and self._calm(observations, infos))

    def step(self, action_dict: Mapping[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """One decision; several steps of the environment if calm ones follow."""
        observations, rewards, terminations, truncations, infos = self._decided(dict(action_dict))
        calm = self._skips and self._calm(observations, infos)
        over = not self.par_env.agents
        lost = over and all(terminations.values())
        # If every agent is flagged truncated, RLlib 2.60 takes the end for a termination; the common flag is enough.
        truncations = {"__all__": not lost} if over else {**self._of_learners(truncations), "__all__": False}
        terminations = {**self._of_learners(terminations), "__all__": lost}
        seen, infos = self._shown(observations, infos, calm)
        return seen, self._of_learners(rewards), terminations, truncations, infos

    def render(self) -> Any:
        return self.par_env.render()

    def close(self) -> None:
        self.par_env.close()

    def _space(self, agent: str) -> spaces.Space:
        space = self.par_env.observation_space(agent)
        if not isinstance(space, spaces.Dict) or not {OBSERVATION, MASK} <= space.spaces.keys():
            raise ValueError(
                f"observation space of {agent!r} is {space}, RLlib training needs Dict({OBSERVATION}, {MASK}): "
                'make the environment with mask="observation" and discrete or multi-discrete actions'
            )
        return spaces.Dict({**space.spaces, STATE: self.par_env.state_space}) if self.with_state else space

    def _decided(self, choices: dict) -> tuple[dict, dict, dict, dict, dict]:
        """A step of the environment, and the calm ones that follow; rewards are summed."""
        if self._looks_away:
            return self.par_env.step_until({**self._idle, **choices}, self.act_above)
        observations, rewards, terminations, truncations, infos = self._played(choices)
        while self._skips and self.par_env.agents and self._calm(observations, infos):
            observations, more, terminations, truncations, infos = self._played({})
            rewards = {agent: rewards[agent] + more[agent] for agent in more}
        return observations, rewards, terminations, truncations, infos

    def _played(self, choices: dict) -> tuple[dict, dict, dict, dict, dict]:
        """A step of the environment in which the frozen agents play too; who says nothing idles."""
        for agent, policy in self.frozen.items():
            above = getattr(policy, "act_above", 0.0)
            if not above or self.par_env.occasion(above):
                seen = self._seen[agent]
                choices[agent] = int(policy(seen[OBSERVATION][None], seen[MASK][None])[0])
        steps = self.par_env.step({**self._idle, **choices})
        self._seen = steps[0]
        return steps if self.cost is None else self._paid(self.cost, *steps)

    def _paid(
        self, cost: PricedCost, observations: dict, rewards: dict, terminations: dict, truncations: dict, infos: dict
    ) -> tuple[dict, dict, dict, dict, dict]:
        """The same step, with what it cost taken from the rewards and noted in the infos."""
        paid = cost.of(infos)
        self._spent += paid
        rewards = {agent: cost.penalised(reward, paid) for agent, reward in rewards.items()}
        infos = {agent: {**own, "cost": self._spent} for agent, own in infos.items()}
        return observations, rewards, terminations, truncations, infos

    def _shown(self, observations: dict, infos: dict, calm: bool) -> tuple[dict, dict]:
        """What RLlib gets: of the agents that it knows, with the state if asked for; nothing but idling in calm."""
        observations = self._of_learners(observations)
        if calm:
            observations = {agent: {**seen, MASK: _only_idle(seen[MASK])} for agent, seen in observations.items()}
        if self.with_state and observations:
            state = self.par_env.state()
            observations = {agent: {**seen, STATE: state} for agent, seen in observations.items()}
        return observations, self._of_learners(infos)

    def _of_learners(self, column: dict[str, Any]) -> dict[str, Any]:
        """The values by agent without those of frozen ones."""
        return {agent: own for agent, own in column.items() if agent not in self.frozen} if self.frozen else column

    def _calm(self, observations: Mapping[str, Mapping], infos: Mapping[str, Mapping]) -> bool:
        if self.frozen:
            return all(np.sum(observations[agent][MASK]) <= 1 for agent in self.possible_agents)
        occasion = getattr(self.par_env, "occasion", None)
        if occasion is not None:
            return not occasion(self.act_above)
        return max(own["max_rho"] for own in infos.values()) < self.act_above


def idle_choice(space: spaces.Space) -> int | np.ndarray:
    """Do nothing: element 0 of a discrete space, zeros of a multi-discrete one."""
    return 0 if isinstance(space, spaces.Discrete) else np.zeros(space.shape or (), dtype=np.int64)


def _only_idle(mask: Any) -> Any:
    if isinstance(mask, tuple):
        return tuple(_only_idle(part) for part in mask)
    only = np.zeros_like(mask)
    only[0] = 1
    return only
