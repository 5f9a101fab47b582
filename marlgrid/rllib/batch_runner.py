"""Sampling for RLlib from a batch of environments: many times faster than one environment after the other.

RLlib's own runner spends about a millisecond per environment and step on single observations and actions. This one
steps all episodes of a process as one batch, asks each network once per step, and hands RLlib finished arrays.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import (
    EPISODE_RETURN_MEAN,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
)

from marlgrid.env.registry import vector_env
from marlgrid.env.vector import VectorSteps
from marlgrid.rllib.adapter import MASK, OBSERVATION
from marlgrid.rllib.fragment import TERMINATED, TRUNCATED, Fragment
from marlgrid.rllib.price import PricedCost
from marlgrid.rllib.registration import with_case_made
from marlgrid.rllib.totals import team_totals

WINDOW = 100
"""Finished episodes that the reported means are over."""


class BatchEnvRunner(MultiAgentEnvRunner):
    """Samples from ``marlgrid.vector_env``; ``env_config["n_envs"]`` is the number of episodes side by side.

    For PPO and its kin with discrete actions. One sampled step is one decision of the whole team: with ``act_above``,
    calm steps in between are played without asking the agents, as ``RLlibParallelEnv`` does.
    """

    def make_env(self) -> None:
        super().make_env()  # a single environment, for the spaces
        arguments = with_case_made(self.config.env_config)
        if arguments.pop("with_state", False) or "make" in arguments:
            raise ValueError(
                "a centralised critic, and environments of your own making, need RLlib's own sampling: batched=False"
            )
        self.cost: PricedCost | None = copy(arguments.pop("cost", None))
        seed = None if self._seed is None else self._seed * 1000
        self.batch = vector_env(**{"n_envs": 16, **arguments, "mask": "observation"}, seed=seed)
        trained = self.config.policies_to_train
        every = {agent: self.config.policy_mapping_fn(agent, None) for agent in self.batch.agents}
        self._module_of = every
        self._trained = {agent: module for agent, module in every.items() if trained is None or module in trained}
        self._fragment = Fragment(list(self.batch.agents), self.batch.n_envs)
        self._seen: dict[str, dict[str, np.ndarray]] | None = None

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        """Decisions of the team, or whole episodes for an evaluation, as one episode (part) per trained agent."""
        if random_actions:
            raise ValueError("this runner plays the networks only: random_actions is not supported")
        if self._seen is None or force_reset or num_episodes is not None:
            self._reset()
        finished = 0
        while finished < (num_episodes or 0) or self._fragment.n_closed < (num_timesteps or 0):
            finished += self._step(explore)
        sampled = self._fragment.n_closed
        episodes, self._fragment = self._fragment.cut(self._trained)
        self._count(sampled)
        return episodes

    # ------------------------------------------------------------------ playing
    def _reset(self) -> None:
        self._seen, _ = self.batch.reset()
        self._fragment = Fragment(list(self.batch.agents), self.batch.n_envs)
        self._returns, self._spent = np.zeros(self.batch.n_envs), np.zeros(self.batch.n_envs)

    def _step(self, explore: bool) -> int:
        """One step of the whole batch; returns how many episodes it ended."""
        assert self._seen is not None
        rows = np.flatnonzero(self.batch.asked)
        choices = {agent: np.zeros(self.batch.n_envs, dtype=np.int64) for agent in self.batch.agents}
        if len(rows):
            records = {a: self._decide(a, s[OBSERVATION][rows], s[MASK][rows], explore) for a, s in self._seen.items()}
            for agent, columns in records.items():
                choices[agent][rows] = columns[Columns.ACTIONS]
            self._fragment.decide(rows, records)
        steps = self.batch.step(choices)
        rewards = steps.rewards if self.cost is None else self._paid(self.cost, steps)
        self._fragment.earn(rewards)
        self._returns += sum(rewards[agent] for agent in self._trained)
        first = self.batch.agents[0]
        lost, late = steps.terminations[first], steps.truncations[first]
        ended = np.flatnonzero(lost | late)
        for env in ended.tolist():
            infos = steps.infos.of(env)
            last = {agent: info["final_observation"] for agent, info in infos.items()}
            self._fragment.end(env, TERMINATED if lost[env] else TRUNCATED, last)
            self._log(infos, env)
        self._seen = steps.observations
        return len(ended)

    def _paid(self, cost: PricedCost, steps: VectorSteps) -> dict[str, np.ndarray]:
        """The rewards of a step less the price of what it cost."""
        paid = cost.of(steps.infos)
        self._spent += paid
        return {agent: cost.penalised(reward, paid) for agent, reward in steps.rewards.items()}

    def _decide(self, agent: str, observation: np.ndarray, mask: np.ndarray, explore: bool) -> dict[str, np.ndarray]:
        module = self.module[self._module_of[agent]]
        seen = {OBSERVATION: torch.from_numpy(observation), MASK: torch.from_numpy(mask)}
        run = module.forward_exploration if explore else module.forward_inference
        made = run({Columns.OBS: seen})
        columns = {OBSERVATION: observation, MASK: mask}
        if Columns.ACTIONS in made:
            return {**columns, Columns.ACTIONS: np.asarray(made[Columns.ACTIONS])}
        logits = made[Columns.ACTION_DIST_INPUTS]
        distribution = module.get_exploration_action_dist_cls().from_logits(logits)
        action = (distribution if explore else distribution.to_deterministic()).sample()
        return {
            **columns,
            Columns.ACTIONS: action.numpy(),
            Columns.ACTION_LOGP: distribution.logp(action).numpy(),
            Columns.ACTION_DIST_INPUTS: logits.numpy(),
        }

    # ------------------------------------------------------------------ figures
    def _log(self, infos: dict[str, dict[str, Any]], env: int) -> None:
        zones = {agent: info for agent, info in infos.items() if agent.startswith("zone_")}
        spent = {} if self.cost is None else {"cost": self._spent[env]}
        for name, value in {**team_totals(zones), **spent, EPISODE_RETURN_MEAN: self._returns[env]}.items():
            self.metrics.log_value(name, float(value), window=WINDOW)
        self.metrics.log_value(NUM_EPISODES, 1, reduce="sum")
        self.metrics.log_value(NUM_EPISODES_LIFETIME, 1, reduce="lifetime_sum")
        self._returns[env] = self._spent[env] = 0.0

    def _count(self, sampled: int) -> None:
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED, sampled, reduce="sum")
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, sampled, reduce="lifetime_sum", with_throughput=True)
        for agent, module in self._trained.items():
            self.metrics.log_value((NUM_AGENT_STEPS_SAMPLED, agent), sampled, reduce="sum")
            self.metrics.log_value((NUM_MODULE_STEPS_SAMPLED, module), sampled, reduce="sum")
        self.num_env_steps_sampled_lifetime += sampled
