"""The decisions that a batch of episodes made since the last call, and their cutting into RLlib's episodes."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from marlgrid.rllib.adapter import MASK, OBSERVATION

Records = dict[str, dict[str, np.ndarray]]
"""Agent -> column -> (n, ...): what an agent saw and chose in n decisions."""

TERMINATED, TRUNCATED = 1, 2


class Fragment:
    """Decisions in the order they were made, of all environments of a batch.

    A decision stays open, and earns the rewards of all steps that follow, until its environment decides again or its
    episode ends.
    """

    def __init__(self, agents: list[str], n_env: int) -> None:
        self.agents = agents
        self.open = np.full(n_env, -1)
        """(n_env,) number of the decision that is open in each environment, -1 if none."""
        self._parts: list[Records] = []
        self._env: list[np.ndarray] = []
        self._rewards = np.zeros((1024, len(agents)))
        self._ended: dict[int, tuple[int, dict[str, np.ndarray]]] = {}
        """Decision -> how its episode ended after it, and what the agents saw then."""
        self.n = 0

    @property
    def n_closed(self) -> int:
        """Decisions whose outcome is known."""
        return self.n - int((self.open >= 0).sum())

    def decide(self, rows: np.ndarray, records: Records) -> None:
        """Adds one decision in each of the environments ``rows``."""
        self.open[rows] = np.arange(self.n, self.n + len(rows))
        self._parts.append(records)
        self._env.append(rows)
        self.n += len(rows)
        if self.n > len(self._rewards):
            self._rewards = np.concatenate([self._rewards, np.zeros((self.n, len(self.agents)))])

    def earn(self, rewards: dict[str, np.ndarray]) -> None:
        """Rewards (n_env,) of a step."""
        deciding = self.open >= 0
        for column, agent in enumerate(self.agents):
            self._rewards[self.open[deciding], column] += rewards[agent][deciding]

    def end(self, env: int, how: int, last: dict[str, np.ndarray]) -> None:
        """The episode of an environment is over; ``last`` is what each agent saw then."""
        if self.open[env] >= 0:
            self._ended[int(self.open[env])] = (how, last)
        self.open[env] = -1

    def cut(self, modules: dict[str, str]) -> tuple[list[SingleAgentEpisode], Fragment]:
        """Episodes of the agents in ``modules`` (agent -> module id), and the fragment that goes on.

        Open decisions go over to the next fragment; what was seen at one ends the part of the episode before it.
        """
        following = Fragment(self.agents, len(self.open))
        if self.n == 0:
            return [], following
        records = {
            agent: {name: np.concatenate([part[agent][name] for part in self._parts]) for name in columns}
            for agent, columns in self._parts[0].items()
        }
        env = np.concatenate(self._env)
        order = np.argsort(env, kind="stable")
        last_of_part = np.append(np.diff(env[order]) != 0, True) | np.isin(order, list(self._ended))
        episodes = []
        for part in np.split(order, np.flatnonzero(last_of_part)[:-1] + 1):
            episodes += self._episodes(part, records, modules)
        rows = np.flatnonzero(self.open >= 0)
        if len(rows):
            kept = self.open[rows]
            following.decide(rows, {a: {k: v[kept] for k, v in columns.items()} for a, columns in records.items()})
            following._rewards[: len(rows)] = self._rewards[kept]
        return episodes, following

    def _episodes(self, part: np.ndarray, records: Records, modules: dict[str, str]) -> list[SingleAgentEpisode]:
        """One per agent out of the decisions ``part`` of one episode, in their order."""
        how, last = self._ended.get(int(part[-1]), (0, None))
        done = part if last is not None else part[:-1]
        if len(done) == 0:
            return []
        name = uuid.uuid4().hex
        return [
            _episode(
                agent,
                module,
                name,
                _seen(records[agent], part, None if last is None else last[agent]),
                {column: values[done] for column, values in records[agent].items()},
                self._rewards[done, self.agents.index(agent)],
                how,
            )
            for agent, module in modules.items()
        ]


def _seen(columns: dict[str, np.ndarray], part: np.ndarray, last: np.ndarray | None) -> dict[str, np.ndarray]:
    """Observations of an episode: one per decision, and the one after the last decision."""
    seen, mask = columns[OBSERVATION][part], columns[MASK][part]
    if last is not None:
        # nothing is chosen at the end, so any mask does: the last one keeps a legal action in it
        seen, mask = np.concatenate([seen, last[None]]), np.concatenate([mask, mask[-1:]])
    return {OBSERVATION: seen, MASK: mask}


def _episode(
    agent: str,
    module: str,
    name: str,
    seen: dict[str, np.ndarray],
    made: dict[str, np.ndarray],
    rewards: np.ndarray,
    how: int,
) -> SingleAgentEpisode:
    def buffer(data: Any) -> InfiniteLookbackBuffer:
        return InfiniteLookbackBuffer(data=data, lookback=0)

    outputs = (Columns.ACTION_LOGP, Columns.ACTION_DIST_INPUTS)
    return SingleAgentEpisode(
        id_=f"{name}-{agent}",
        observations=buffer(seen),
        infos=buffer([{} for _ in range(len(rewards) + 1)]),
        actions=buffer(made[Columns.ACTIONS]),
        rewards=buffer(rewards),
        terminated=how == TERMINATED,
        truncated=how == TRUNCATED,
        extra_model_outputs={column: buffer(made[column]) for column in outputs},
        len_lookback_buffer=0,
        agent_id=agent,
        module_id=module,
        multi_agent_episode_id=name,
    )
