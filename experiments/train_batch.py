"""PPO for a team of zones in one file, straight on a batch of environments: ``python -m experiments.train_batch``.

The same task, networks, settings, checkpoints and comparison as ``experiments.train``, without RLlib: one process
steps all episodes at once and asks all agents' networks by one batched product. Ctrl-C ends the training early.

References: Schulman et al. 2017 (PPO), Schulman et al. 2016 (generalised advantage estimation), Yu et al. 2022 (teams).
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

# The networks are small: threads of their own would mostly wait for one another. Set before NumPy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from agents.learned import Learned
from agents.team import SHARED
from experiments.learning import COLUMNS, run
from experiments.settings import CLIP, VALUE_CLIP, TrainSettings, settings_from
from experiments.tasks import TrainingTask, scales_of
from marlgrid.env.start import Starts
from marlgrid.env.vector import GridVectorEnv
from marlgrid.rllib.networks import FORBIDDEN, actor_layers, critic_layers
from marlgrid.rllib.policies import policy_from_state, save_policies
from marlgrid.rllib.totals import team_totals
from marlgrid.task.features import OPPONENT
from marlgrid.task.task import Task

TRAINING = "training.pkl"
"""Beside the policies of a checkpoint: everything else that going on takes."""
WINDOW = 100
"""Finished episodes that the reported means are over."""


def main(arguments: list[str] | None = None) -> int:
    settings = settings_from(arguments, "experiments.train_batch")
    name = settings.name or f"{Path(settings.case).name}-batch"
    return run(replace(settings, name=name), BatchTeam)


# ------------------------------------------------------------------------------------------------ networks
class StackedLayers(nn.Module):
    """Networks of the same depth as one: tanh layers whose weights are stacked, (n_network, n_in, n_out).

    Narrower networks are filled up. An input of 0 and an output that nobody reads change no value and no gradient.
    """

    def __init__(self, networks: list[nn.Sequential]) -> None:
        super().__init__()
        linears = [[layer for layer in network if isinstance(layer, nn.Linear)] for network in networks]
        self.sizes = [[own[0].in_features, *(layer.out_features for layer in own)] for own in linears]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for same in zip(*linears, strict=True):
            widest = [max(layer.in_features for layer in same), max(layer.out_features for layer in same)]
            weight, bias = torch.zeros(len(same), *widest), torch.zeros(len(same), 1, widest[1])
            for k, layer in enumerate(same):
                weight[k, : layer.in_features, : layer.out_features] = layer.weight.detach().T
                bias[k, 0, : layer.out_features] = layer.bias.detach()
            self.weights.append(weight)
            self.biases.append(bias)

    def forward(self, values: torch.Tensor, member: torch.Tensor | None) -> torch.Tensor:
        """(n_agent, n, n_out) of inputs (n_agent, n, n_in). ``member``: agent -> network; None if each has its own."""
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if member is not None:
                weight, bias = weight.index_select(0, member), bias.index_select(0, member)
            values = torch.baddbmm(bias, values, weight)
            if depth < len(self.weights) - 1:
                values = 2 * torch.sigmoid(2 * values) - 1  # tanh, in a third of the time that torch takes for it
        return values

    def state_of(self, k: int, prefix: str) -> dict[str, np.ndarray]:
        """Arrays of one network, as those of an ``nn.Sequential`` of linear and tanh layers are called."""
        state = {}
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            n_in, n_out = self.sizes[k][depth : depth + 2]
            state[f"{prefix}.{2 * depth}.weight"] = weight[k, :n_in, :n_out].detach().T.numpy().copy()
            state[f"{prefix}.{2 * depth}.bias"] = bias[k, 0, :n_out].detach().numpy().copy()
        return state


class Networks(nn.Module):
    """Actors and critics of all agents. Observations come (n_agent, n, width), filled up with zeros."""

    def __init__(self, task: Task, settings: TrainSettings) -> None:
        super().__init__()
        shared = settings.policies == "shared"
        policy = {agent: SHARED if shared and agent != OPPONENT else agent for agent in task.agents}
        self.names = list(dict.fromkeys(policy.values()))
        """Policy ids."""
        members = [self.names.index(policy[agent]) for agent in task.agents]
        self.members = np.array(members)
        """(n_agent,) which network is whose."""
        self.gather = None if len(self.names) == len(members) else torch.tensor(members)
        self.central = settings.central_critic
        self.act_above = settings.act_above
        scales, hiddens = scales_of(settings, task), (settings.hidden,) * 2
        first = {policy[agent]: agent for agent in reversed(task.agents)}
        self.n_seen = [task.observation_space(first[name]).shape[0] for name in self.names]
        self.n_action = [int(task.action_space(first[name]).n) for name in self.names]
        mean, std = np.zeros((len(members), 1, max(self.n_seen))), np.ones((len(members), 1, max(self.n_seen)))
        for k, network in enumerate(self.members):
            if self.names[network] in scales:
                mean[k, 0, : self.n_seen[network]], std[k, 0, : self.n_seen[network]] = scales[self.names[network]]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        n_state = task.state_space.shape[0] if self.central else 0
        actors, critics = [], []
        for name, n_seen, n_action in zip(self.names, self.n_seen, self.n_action, strict=True):
            idle = 0.0 if name == OPPONENT else settings.idle_probability
            actors.append(actor_layers(n_seen, hiddens, (n_action,), idle))
            critics.append(critic_layers(n_state + n_seen, hiddens))
        self.actor, self.critic = StackedLayers(actors), StackedLayers(critics)

    def standardised(self, observations: torch.Tensor) -> torch.Tensor:
        return (observations - self.mean) / self.std

    def logits(self, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n_agent, n, n_action) of standardised observations and masks (bool)."""
        return torch.where(mask, self.actor(seen, self.gather), FORBIDDEN)

    def values(self, seen: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """(n_agent, n); ``state`` (n, n_state) of the whole grid is for centralised critics only."""
        if self.central:
            seen = torch.cat([state.expand(len(seen), -1, -1), seen], dim=-1)
        return self.critic(seen, self.gather).squeeze(-1)

    def states(self) -> dict[str, dict[str, np.ndarray]]:
        """Policy id -> the arrays that RLlib's ``MaskedModule`` holds for the same network."""
        found = {}
        for k, name in enumerate(self.names):
            agent, n_seen = int(np.argmax(self.members == k)), self.n_seen[k]
            found[name] = {
                **self.actor.state_of(k, "actor"),
                **self.critic.state_of(k, "critic"),
                "observation_mean": self.mean[agent, 0, :n_seen].numpy().copy(),
                "observation_std": self.std[agent, 0, :n_seen].numpy().copy(),
                "action_components": np.array([self.n_action[k]]),
                "act_above": np.array(self.act_above, dtype=np.float32),
            }
        return found


# ------------------------------------------------------------------------------------------------ episodes
class Episodes(GridVectorEnv):
    """The batch of environments, as one value for a checkpoint; it remembers what ended episodes ended in."""

    final_state: np.ndarray
    """(n_envs, n) central states that the last step led to, before any reset; set when an episode ended."""

    def snapshot(self) -> Any:
        self._spare.lend()
        return self._episode, self._rngs

    def restore(self, value: Any) -> None:
        self._episode, self._rngs = value
        self._spare.lend()

    def _begin(self, rows: Any, options: Any) -> Any:
        if self._episode is not None:
            self.final_state = self.state()
        return super()._begin(rows, options)


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


# ------------------------------------------------------------------------------------------------ learning
class BatchTeam:
    """The learner: samples with all networks, improves them, says what it saw."""

    def __init__(self, settings: TrainSettings) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(settings.seed)
        self.settings = settings
        task = TrainingTask(settings)()
        starts = Starts(task.series, "train", start="random", max_steps=settings.max_steps)
        n_env = settings.envs_per_runner * max(settings.runners, 1)
        self.batch = Episodes(task, n_env, starts, seed=settings.seed * 1000)
        self.agents = list(task.agents)
        self.networks = Networks(task, settings)
        self.optimiser = torch.optim.Adam(self.networks.parameters(), lr=settings.learning_rate, fused=True)
        self.draws = torch.Generator().manual_seed(settings.seed)
        # a shared network learns from the mean over its agents
        share = np.bincount(self.networks.members)[self.networks.members]
        self.weight = torch.tensor(1.0 / share, dtype=torch.float32)[:, None]
        n_state = task.state_space.shape[0] if settings.central_critic else 0
        width, n_action = max(self.networks.n_seen), max(self.networks.n_action)
        # the last step before enough decisions are closed may add one in each environment to those that are open
        self.rollout = Rollout(len(self.agents), n_env, settings.batch + 2 * n_env, width, n_action, n_state)
        self.seen = np.zeros((len(self.agents), n_env, width), np.float32)
        self.mask = np.zeros((len(self.agents), n_env, n_action), bool)
        self.returns = np.zeros(n_env)
        self.finished: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self.iteration = self.decisions = self.steps = 0
        if settings.resume:
            self._restore(settings.folder / "checkpoint")
        else:
            self._look(*self.batch.reset())

    def iterate(self) -> dict[str, float]:
        self.rollout.restart()
        while self.rollout.n_closed < self.settings.batch:
            self._step()
        entropy = self._learn()
        self.iteration += 1
        self.decisions += self.rollout.n_closed
        names = self.finished[0].keys() if self.finished else ()
        means = {name: float(np.mean([episode[name] for episode in self.finished])) for name in names}
        counts = {"iteration": self.iteration, "decisions": self.decisions, "entropy": entropy}
        return {name: value for name, value in means.items() if name in COLUMNS} | counts

    # ------------------------------------------------------------------ playing
    def _look(self, observations: dict[str, np.ndarray], infos: dict[str, dict[str, Any]]) -> None:
        """Fills ``seen`` (n_agent, n_env, width) and ``mask`` of all agents, and ``loading`` (n_env,) of the grids."""
        for k, agent in enumerate(self.agents):
            seen, mask = observations[agent], infos[agent]["action_mask"]
            self.seen[k, :, : seen.shape[1]] = seen
            self.mask[k, :, : mask.shape[1]] = mask
        self.loading = self.batch.current.rho.max(axis=1)
        if self.settings.central_critic:
            self.state = self.batch.state()

    def _step(self) -> None:
        """One step of the whole batch: the team decides where the grid is loaded enough, and idles elsewhere."""
        rows = np.flatnonzero(self.loading >= self.settings.act_above)
        choices = np.zeros(self.seen.shape[:2], np.int64)
        if len(rows):
            choices[:, rows] = self._decide(rows)
        steps = self.batch.step(dict(zip(self.agents, choices, strict=True)))
        self.steps += self.batch.n_envs
        rewards = np.stack([steps.rewards[agent] for agent in self.agents])
        self.rollout.earn(rewards)
        self.returns += rewards.sum(axis=0)
        lost, late = steps.terminations[self.agents[0]], steps.truncations[self.agents[0]]
        for env in np.flatnonzero(lost | late).tolist():
            self.rollout.end(env, None if lost[env] else self._last(steps.infos, env))
            zones = {agent: {key: info[key][env] for key in info} for agent, info in steps.infos.items()}
            zones.pop(OPPONENT, None)
            self.finished.append({**team_totals(zones), "episode_return_mean": float(self.returns[env])})
            self.returns[env] = 0.0
        self._look(steps.observations, steps.infos)

    @torch.no_grad()
    def _decide(self, rows: np.ndarray) -> np.ndarray:
        """Draws actions (n_agent, n) for some environments and notes them."""
        seen = self.networks.standardised(torch.from_numpy(self.seen[:, rows]))
        mask = torch.from_numpy(self.mask[:, rows])
        logp = self.networks.logits(seen, mask).log_softmax(dim=-1)
        # the first of exponential clocks with these rates to ring is a draw from the probabilities
        waiting = torch.empty_like(logp).exponential_(generator=self.draws).log_()
        action = (logp - waiting).argmax(dim=-1)
        chosen = logp.gather(-1, action[..., None])[..., 0]
        state = self.state[rows] if self.settings.central_critic else 0.0
        self.rollout.decide(rows, seen.numpy(), mask.numpy(), state, action.numpy(), chosen.numpy())
        return action.numpy()

    def _last(self, infos: dict[str, dict[str, Any]], env: int) -> tuple[np.ndarray, np.ndarray]:
        """What an episode that was cut ended in, standardised."""
        seen = np.zeros((len(self.agents), 1, self.seen.shape[2]), np.float32)
        for k, agent in enumerate(self.agents):
            last = infos[agent]["final_observation"][env]
            seen[k, 0, : len(last)] = last
        state = self.batch.final_state[env] if self.settings.central_critic else np.zeros(0, np.float32)
        return self.networks.standardised(torch.from_numpy(seen)).numpy()[:, 0], state

    # ------------------------------------------------------------------ learning
    def _learn(self) -> float:
        """Epochs of minibatches over the closed decisions; returns the mean entropy of the policies."""
        settings, rollout, networks = self.settings, self.rollout, self.networks
        advantage, target = rollout.advantages(networks, settings.gamma, settings.gae_lambda)
        closed = torch.from_numpy(rollout.closed_rows())
        advantage = self._normalised(advantage, closed)
        seen, mask, state, action, logp = (
            torch.from_numpy(column)
            for column in (rollout.seen, rollout.mask, rollout.state, rollout.action, rollout.logp)
        )
        n_minibatch = max(round(len(closed) / settings.minibatch), 1)
        entropies = []
        for _ in range(settings.epochs):
            order = closed[torch.randperm(len(closed), generator=self.draws)]
            for rows in order.tensor_split(n_minibatch):
                # much faster than indexing
                picked = [c.index_select(1, rows) for c in (seen, mask, action, logp, advantage, target)]
                loss, entropy = self._loss(state[rows], *picked)
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                entropies.append(entropy)
        return float(torch.stack(entropies[-n_minibatch:]).mean())

    def _normalised(self, advantage: torch.Tensor, closed: torch.Tensor) -> torch.Tensor:
        """Mean 0 and deviation 1 over the decisions of each network."""
        result = torch.zeros_like(advantage)
        for network in range(len(self.networks.names)):
            mine = torch.from_numpy(np.flatnonzero(self.networks.members == network))[:, None]
            own = advantage[mine, closed]
            result[mine, closed] = (own - own.mean()) / own.std(correction=0).clamp(min=1e-4)
        return result

    def _loss(
        self,
        state: torch.Tensor,
        seen: torch.Tensor,
        mask: torch.Tensor,
        action: torch.Tensor,
        logp_before: torch.Tensor,
        advantage: torch.Tensor,
        target: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clipped objective of PPO, summed over the networks; and the mean entropy."""
        logp = self.networks.logits(seen, mask).log_softmax(dim=-1)
        ratio = (logp.gather(-1, action[..., None])[..., 0] - logp_before).exp()
        gain = torch.minimum(advantage * ratio, advantage * ratio.clamp(1 - CLIP, 1 + CLIP))
        miss = (self.networks.values(seen, state) - target).square().clamp(max=VALUE_CLIP)
        entropy = -(logp.exp() * logp).sum(dim=-1)
        loss = ((miss - gain - self.settings.entropy * entropy) * self.weight).mean(dim=1).sum()
        return loss, entropy.detach().mean()

    # ------------------------------------------------------------------ keeping
    def team(self) -> Learned:
        return Learned({name: policy_from_state(state) for name, state in self.networks.states().items()})

    def save(self, folder: Path) -> None:
        """Policies where RLlib keeps them, and what training goes on from."""
        save_policies(folder, self.networks.states())
        # of the decisions, only those that are open matter: the others are learnt from
        self.rollout.restart()
        kept = {
            "networks": self.networks.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "draws": self.draws.get_state(),
            "episodes": self.batch.snapshot(),
            **{name: vars(self)[name] for name in KEPT},
        }
        with (folder / TRAINING).open("wb") as file:
            pickle.dump(kept, file)

    def _restore(self, folder: Path) -> None:
        path = folder / TRAINING
        if not path.is_file():
            sys.exit(f"{folder}/ is no checkpoint of this program (no {TRAINING}): continue it with experiments.train")
        with path.open("rb") as file:
            kept = pickle.load(file)
        self.networks.load_state_dict(kept["networks"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.draws.set_state(kept["draws"])
        self.batch.restore(kept["episodes"])
        vars(self).update({name: kept[name] for name in KEPT})
        if self.settings.central_critic:
            self.state = self.batch.state()

    def close(self) -> None:
        self.batch.close()


KEPT = ("rollout", "seen", "mask", "loading", "returns", "finished", "iteration", "decisions", "steps")
"""Plain fields of a learner that go into its checkpoint."""

if __name__ == "__main__":
    sys.exit(main())
