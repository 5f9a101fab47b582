"""A small parallel environment with random masks that counts what it should not be asked for."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

pytest.importorskip("ray")
pytest.importorskip("torch")


class CountingEnv(ParallelEnv):
    """Agents whose legal actions change at random; ends lost at step ``lost_at``, else at the time ``limit``."""

    metadata = {"name": "counting_v0"}  # noqa: RUF012
    illegal_seen = 0

    def __init__(
        self, mask="observation", opponent=None, limit=20, lost_at=None, pad=True, multi=False, loading=None, seed=None
    ):
        self.limit, self.lost_at, self.render_mode = limit, lost_at, None
        self.loading = loading or (lambda t: 1.0)
        zones = ["zone_0", "zone_1"]
        self.possible_agents = zones + (["opponent_0"] if opponent == "agent" else [])
        self.n = {agent: 4 if pad else 3 + k for k, agent in enumerate(self.possible_agents)}
        self.multi = multi
        self.action_spaces = {a: self._action_space(a) for a in self.possible_agents}
        self.observation_spaces = {a: self._space(a) for a in self.possible_agents}
        self.state_space = spaces.Box(-1, 1, (7,), np.float32)
        self.rng = np.random.default_rng(seed)
        self.agents = []

    def _action_space(self, agent):
        n = self.n[agent]
        return spaces.MultiDiscrete([n, 2]) if self.multi else spaces.Discrete(n)

    def _space(self, agent):
        n = self.n[agent]
        one = spaces.Box(0, 1, (n,), np.int8)
        mask = spaces.Tuple([one, spaces.Box(0, 1, (2,), np.int8)]) if self.multi else one
        return spaces.Dict({"observation": spaces.Box(-1, 1, (n + 1,), np.float32), "action_mask": mask})

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.agents, self.t, self.illegal = self.possible_agents[:], 0, 0
        return self._see(), self._infos()

    def step(self, actions):
        self.t += 1
        for agent in self.agents:
            parts = np.atleast_1d(actions[agent])
            self.illegal += sum(not mask[k] for mask, k in zip(self.masks[agent], parts, strict=True))
        CountingEnv.illegal_seen += self.illegal
        lost, late = self.t == self.lost_at, self.t == self.limit
        rewards = {a: float(np.atleast_1d(actions[a])[0] == self.best[a]) for a in self.agents}
        agents = self.agents
        if lost or late:
            self.agents = []
        flags = dict.fromkeys(agents, lost), dict.fromkeys(agents, late and not lost)
        return self._see(), rewards, *flags, self._infos()

    def state(self):
        return np.full(7, self.t / self.limit, np.float32)

    def _see(self):
        self.masks, self.best, seen = {}, {}, {}
        for agent in self.possible_agents:
            n = self.n[agent]
            mask = (self.rng.random(n) < 0.5).astype(np.int8)
            mask[0] = 1
            self.best[agent] = int(self.rng.choice(np.flatnonzero(mask)))
            vector = np.zeros(n + 1, np.float32)
            vector[self.best[agent]] = 1
            other = np.array([1, self.rng.integers(2)], np.int8)
            self.masks[agent] = (mask, other) if self.multi else (mask,)
            seen[agent] = {"observation": vector, "action_mask": (mask, other) if self.multi else mask}
        return seen

    def _infos(self):
        totals = {"survival": self.t / self.limit, "illegal_total": float(self.illegal)}
        return {a: {"max_rho": self.loading(self.t), **totals} for a in self.possible_agents}


@pytest.fixture
def counting_env():
    CountingEnv.illegal_seen = 0
    return CountingEnv
