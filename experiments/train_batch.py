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
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

# The networks are small: threads of their own would mostly wait for one another. Set before NumPy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from agents.learned import Learned
from agents.mixed import team_from
from experiments.batch_networks import Networks
from experiments.batch_rollout import Episodes, Rollout
from experiments.curriculum import levels, promoted
from experiments.imitation import Teacher
from experiments.lagrangian import GAINS, Multiplier
from experiments.learning import COLUMNS, run
from experiments.settings import CLIP, VALUE_CLIP, TrainSettings, settings_from
from experiments.tasks import TrainingTask
from marlgrid.env.start import Starts
from marlgrid.rllib.policies import load_states, policy_from_state, save_policies
from marlgrid.rllib.price import PricedCost
from marlgrid.rllib.totals import team_totals
from marlgrid.simulation.state import take
from marlgrid.task.features import OPPONENT

TRAINING = "training.pkl"
"""Beside the policies of a checkpoint: everything else that going on takes."""
WINDOW = 100
"""Finished episodes that the reported means are over."""


def main(arguments: list[str] | None = None) -> int:
    settings = settings_from(arguments, "experiments.train_batch")
    name = settings.name or f"{Path(settings.case).name}-batch"
    return run(replace(settings, name=name), BatchTeam)


class BatchTeam:
    """The learner: samples with all networks, improves them, says what it saw.

    ``agents`` learn: the zones, or the opponent alone against frozen zones, or all at once. They are asked together:
    the zones where there is an occasion, the opponent where it may attack.
    """

    def __init__(self, settings: TrainSettings) -> None:
        if settings.algorithm not in ("ippo", "mappo"):
            raise ValueError(f"algorithm {settings.algorithm!r} is for experiments.train: choose ippo or mappo here")
        torch.set_num_threads(1)
        torch.manual_seed(settings.seed)
        self.settings, self.levels = settings, levels(settings)
        task = TrainingTask(settings)()
        self.agents = [OPPONENT] if settings.learner == "opponent" else list(task.agents)
        self.networks = Networks(task, self.agents, settings)
        if settings.start_from:
            self.networks.load(load_states(settings.start_from))
        self.optimiser = torch.optim.Adam(self.networks.parameters(), lr=settings.learning_rate, fused=True)
        self.draws = torch.Generator().manual_seed(settings.seed)
        # a shared network learns from the mean over its agents
        share = np.bincount(self.networks.members)[self.networks.members]
        self.weight = torch.tensor(1.0 / share, dtype=torch.float32)[:, None]
        self.teacher = Teacher(task, settings) if settings.imitate else None
        self.multiplier = Multiplier(settings.cost_limit, GAINS[settings.multiplier])
        self.cost = PricedCost(settings.cost, settings.cost_limit) if settings.cost else None
        self.iteration = self.decisions = self.steps = 0
        if settings.resume:
            self._restore(settings.folder / "checkpoint")
        else:
            self._enter(0)
            self._look(self.batch.reset()[0])

    def _enter(self, level: int) -> None:
        """New episodes, of a level of the curriculum."""
        settings = self.levels[level]
        task = TrainingTask(settings)()
        starts = Starts(task.series, "train", start="random", max_steps=settings.max_steps)
        n_env = settings.envs_per_runner * max(settings.runners, 1)
        frozen = team_from(settings.defenders) if settings.learner == "opponent" else None
        self.level = level
        seed, gate = settings.seed * 1000 + level, settings.act_above if frozen is None else 0.0
        self.batch = Episodes(task, n_env, starts, seed=seed, act_above=gate, frozen=frozen)
        n_state = task.state_space.shape[0] if settings.central_critic else 0
        n_agent, width, n_action = len(self.agents), max(self.networks.n_seen), max(self.networks.n_action)
        # the last step before enough decisions are closed may add one in each environment to those that are open
        self.rollout = Rollout(n_agent, n_env, settings.batch + 2 * n_env, width, n_action, n_state)
        self.seen = np.zeros((n_agent, n_env, width), np.float32)
        self.mask = np.zeros((n_agent, n_env, n_action), bool)
        self.returns, self.costs = np.zeros(n_env), np.zeros(n_env)
        self.finished: deque[dict[str, float]] = deque(maxlen=max(WINDOW, settings.curriculum_episodes))

    def iterate(self) -> dict[str, float]:
        self.rollout.restart()
        while self.rollout.n_closed < self.settings.batch:
            self._step()
        entropy = self._learn()
        self.iteration += 1
        self.decisions += self.rollout.n_closed
        names = self.finished[0].keys() if self.finished else ()
        means = {name: float(np.mean([episode[name] for episode in self.finished])) for name in names}
        counts = {"iteration": self.iteration, "decisions": self.decisions, "entropy": entropy, "level": self.level}
        if self.cost is not None and self.finished:
            counts["multiplier"] = self.cost.price = self.multiplier.update(means["cost"])
        more = self.level + 1 < len(self.levels)
        if more and promoted(self.settings, means.get("survival", 0.0), len(self.finished)):
            self._enter(self.level + 1)
            self._look(self.batch.reset()[0])
        return {name: value for name, value in means.items() if name in COLUMNS} | counts

    # ------------------------------------------------------------------ playing
    @property
    def _imitates(self) -> bool:
        return self.iteration < self.settings.imitate

    @property
    def _corrected(self) -> bool:
        """After a quarter of the imitation the zones play, and the teacher says what it would have done (DAgger)."""
        return self.settings.imitate / 4 <= self.iteration < self.settings.imitate

    def _look(self, observations: dict[str, dict[str, np.ndarray]]) -> None:
        """Fills ``seen`` (n_agent, n_env, width) and ``mask`` of all agents, and ``asked`` (n_env,): who decides."""
        for k, agent in enumerate(self.agents):
            seen, mask = observations[agent]["observation"], observations[agent]["action_mask"]
            self.seen[k, :, : seen.shape[1]] = seen
            self.mask[k, :, : mask.shape[1]] = mask
        if self.agents == [OPPONENT]:
            self.asked = self.mask[0, :, 1:].any(axis=1)
        else:
            self.asked = self.batch.asked
        if self.settings.central_critic:
            self.state = self.batch.state()

    def _step(self) -> None:
        """One step of the whole batch: the agents decide where they are asked, and idle elsewhere."""
        rows = np.flatnonzero(self.asked)
        choices = np.zeros(self.seen.shape[:2], np.int64)
        if len(rows):
            choices[:, rows] = self._decide(rows)
        steps = self.batch.step(dict(zip(self.agents, choices, strict=True)))
        self.steps += self.batch.n_envs
        rewards = np.stack([steps.rewards[agent] for agent in self.agents])
        if self.cost is not None:
            paid = self.cost.of(steps.infos)
            self.costs += paid
            rewards = self.cost.penalised(rewards, paid)
        self.rollout.earn(rewards)
        self.returns += rewards.sum(axis=0)
        lost, late = steps.terminations[self.agents[0]], steps.truncations[self.agents[0]]
        for env in np.flatnonzero(lost | late).tolist():
            infos = steps.infos.of(env)
            self.rollout.end(env, None if lost[env] else self._last(infos, env))
            zones = {agent: info for agent, info in infos.items() if agent != OPPONENT}
            own = {"episode_return_mean": float(self.returns[env]), "cost": float(self.costs[env])}
            self.finished.append({**team_totals(zones), **own})
            self.returns[env] = self.costs[env] = 0.0
        self._look(steps.observations)

    @torch.inference_mode()
    def _decide(self, rows: np.ndarray) -> np.ndarray:
        """Draws actions (n_agent, n) for some environments and notes them."""
        seen = self.networks.standardised(torch.from_numpy(self.seen[:, rows]))
        mask = torch.from_numpy(self.mask[:, rows])
        logp = self.networks.logits(seen, mask).log_softmax(dim=-1)
        # the first of exponential clocks with these rates to ring is a draw from the probabilities
        drawn = (logp - torch.empty_like(logp).exponential_(generator=self.draws).log_()).argmax(dim=-1)
        if self._imitates and self.teacher is not None:
            action = torch.from_numpy(self.teacher.answers(self.batch.task, take(self.batch.current, rows)))
            action = torch.where(mask.gather(-1, action[..., None])[..., 0], action, 0)
            played = drawn if self._corrected else action
        else:
            action = played = drawn
        chosen = logp.gather(-1, action[..., None])[..., 0]
        state = self.state[rows] if self.settings.central_critic else 0.0
        self.rollout.decide(rows, seen.numpy(), mask.numpy(), state, action.numpy(), chosen.numpy())
        return played.numpy()

    def _last(self, infos: Mapping[str, dict[str, Any]], env: int) -> tuple[np.ndarray, np.ndarray]:
        """What an episode that was cut ended in, standardised."""
        seen = np.zeros((len(self.agents), 1, self.seen.shape[2]), np.float32)
        for k, agent in enumerate(self.agents):
            last = infos[agent]["final_observation"]
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
        """The clipped objective of PPO (or how likely the teacher's answers are), summed over the networks; and the
        mean entropy."""
        logp = self.networks.logits(seen, mask).log_softmax(dim=-1)
        chosen = logp.gather(-1, action[..., None])[..., 0]
        if self._imitates:
            gain = chosen
        else:
            ratio = (chosen - logp_before).exp()
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
        self._enter(kept["level"])
        self.batch.restore(kept["episodes"])
        vars(self).update({name: kept[name] for name in KEPT})
        if self.cost is not None:
            self.cost.price = self.multiplier.value
        if self.settings.central_critic:
            self.state = self.batch.state()

    def close(self) -> None:
        self.batch.close()


KEPT = (
    "level", "rollout", "seen", "mask", "asked", "returns", "costs", "multiplier", "finished", "iteration", "decisions",
    "steps",
)  # fmt: skip
"""Plain fields of a learner that go into its checkpoint."""

if __name__ == "__main__":
    sys.exit(main())
