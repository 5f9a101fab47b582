"""What a batch of environments goes through: its episodes, and the decisions to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from agents.base import Agent, with_rows
from experiments.batch_networks import Networks
from marlgrid.env.start import Starts
from marlgrid.env.vector import GridVectorEnv, VectorSteps
from marlgrid.task.occasions import occasions
from marlgrid.task.task import Outputs, Task


class Episodes(GridVectorEnv):
    """The batch of environments, as one value for a checkpoint; it remembers what ended episodes ended in.

    ``frozen`` is a team that plays the zones, where only the opponent is asked.
    """

    final_state: np.ndarray
    """(n_envs, n) central states that the last step led to, before any reset; set when an episode ended."""

    def __init__(
        self, task: Task, n_envs: int, starts: Starts, seed: int, act_above: float = 0.0, frozen: Agent | None = None
    ) -> None:
        super().__init__(task, n_envs, starts, mask="observation", seed=seed, act_above=act_above)
        self.frozen = frozen
        self._memory: Any = () if frozen is None else frozen.initial_memory(task, n_envs)

    def step(self, actions: Mapping[str, Any]) -> VectorSteps:
        if self.frozen is None:
            return super().step(actions)
        episode = self._started("step")
        choices, self._memory = self.frozen.act(self.task, episode, self._outputs, self._memory)
        return super().step({**choices, **actions})

    def snapshot(self) -> Any:
        self._spare.lend()
        self._forget_next()
        return self._episode, self._streams, self._memory

    def restore(self, value: Any) -> None:
        self._forget_next()
        self._episode, self._streams, self._memory = value
        self._spare.lend()
        self._outputs = self.task.look(self._started("restore"))
        self._asked = occasions(self.task.system, self.current, self.act_above)

    def reset(self, seed: int | Sequence[int] | None = None, options: Mapping[str, Any] | None = None) -> Any:
        if self.frozen is not None:
            self._memory = self.frozen.initial_memory(self.task, self.n_envs)
        return super().reset(seed, options)

    def _replace(self, ended: np.ndarray, last: Outputs) -> Outputs:
        self.final_state = self.state()
        if self.frozen is not None:
            fresh = self.frozen.initial_memory(self.task, len(ended))
            self._memory = with_rows(self._memory, ended, fresh)
        return super()._replace(ended, last)

    def _observations(self, outputs: Outputs) -> dict[str, Any]:
        self._outputs = outputs
        return super()._observations(outputs)


class Rollout:
    """Decisions of the team in the order they were made, in arrays that are filled row by row.

    A decision is open, and earns the rewards of all steps that follow, until its environment decides again or its
    episode ends. ``following`` leads from a decision to what its value continues with: the next decision, the last
    observation of an episode cut by the time limit (a row of ``ends``, numbered from -2 down), or -1: nothing.
    """

    def __init__(self, n_agent: int, n_env: int, capacity: int, width: int, n_action: int, n_state: int) -> None:
        self.seen = np.zeros((n_agent, capacity, width), np.float32)
        self.mask = np.zeros((n_agent, capacity, n_action), bool)
        self.state = np.zeros((capacity, n_state), np.float32)
        self.action = np.zeros((n_agent, capacity), np.int64)
        self.logp = np.zeros((n_agent, capacity), np.float32)
        self.reward = np.zeros((n_agent, capacity), np.float32)
        self.open = np.full(n_env, -1)
        """(n_env,) row of the decision that is open in each environment, -1 if none."""
        self.following = np.full(capacity, -1)
        self.parts: list[slice] = []
        """Rows that were decided in the same step: none of them follows another."""
        self.ends: list[tuple[np.ndarray, np.ndarray]] = []
        self.n = 0

    @property
    def n_closed(self) -> int:
        return self.n - int((self.open >= 0).sum())

    def decide(self, envs: np.ndarray, seen: Any, mask: Any, state: Any, action: Any, logp: Any) -> None:
        """Adds a decision in each of the environments ``envs``."""
        part = slice(self.n, self.n + len(envs))
        self.seen[:, part], self.mask[:, part], self.state[part] = seen, mask, state
        self.action[:, part], self.logp[:, part], self.reward[:, part] = action, logp, 0.0
        rows, before = np.arange(part.start, part.stop), self.open[envs]
        self.following[before[before >= 0]] = rows[before >= 0]
        self.following[rows] = -1
        self.open[envs] = rows
        self.parts.append(part)
        self.n = part.stop

    def earn(self, rewards: np.ndarray) -> None:
        """Rewards (n_agent, n_env) of a step."""
        deciding = self.open >= 0
        self.reward[:, self.open[deciding]] += rewards[:, deciding]

    def end(self, env: int, last: tuple[np.ndarray, np.ndarray] | None) -> None:
        """The episode is over; ``last`` is (observations (n_agent, width), state), None if the grid was lost."""
        if self.open[env] >= 0 and last is not None:
            self.ends.append(last)
            self.following[self.open[env]] = -1 - len(self.ends)
        self.open[env] = -1

    def restart(self) -> None:
        """Forgets all but the open decisions, which come first in what follows."""
        envs = np.flatnonzero(self.open >= 0)
        rows = self.open[envs]
        kept = [array[..., rows, :].copy() for array in (self.seen, self.mask, self.state)]
        kept += [array[:, rows].copy() for array in (self.action, self.logp, self.reward)]
        self.n, self.parts, self.ends = 0, [], []
        self.open[:] = -1
        if len(envs):
            self.decide(envs, *kept[:-1])
            self.reward[:, : len(envs)] = kept[-1]

    def advantages(self, networks: Networks, gamma: float, lam: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Generalised advantage estimates and value targets (n_agent, n); 0 where the decision is still open."""
        n, n_end = self.n, len(self.ends)
        seen, state = self.seen[:, :n], self.state[:n]
        if n_end:
            seen = np.concatenate([seen, np.stack([end[0] for end in self.ends], axis=1)], axis=1)
            state = np.concatenate([state, np.stack([end[1] for end in self.ends])])
        with torch.no_grad():
            value = networks.values(torch.from_numpy(seen), torch.from_numpy(state)).numpy()
        # behind the decisions: what cut episodes ended in, then a value of 0 for what nothing follows
        value = np.concatenate([value, np.zeros((len(value), 1), np.float32)], axis=1)
        advantage = np.zeros_like(value)
        after = self.following[:n]
        after = np.where(after >= 0, after, np.where(after == -1, n + n_end, n - 2 - after))
        closed = np.ones(n, bool)
        closed[self.open[self.open >= 0]] = False
        for part in reversed(self.parts):
            follows = after[part]
            delta = self.reward[:, part] + gamma * value[:, follows] - value[:, part]
            advantage[:, part] = (delta + gamma * lam * advantage[:, follows]) * closed[part]
        return torch.from_numpy(advantage[:, :n]), torch.from_numpy(advantage[:, :n] + value[:, :n])

    def closed_rows(self) -> np.ndarray:
        return np.setdiff1d(np.arange(self.n), self.open[self.open >= 0])
