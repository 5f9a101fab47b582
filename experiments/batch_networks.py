"""The networks of all agents that learn as one batched product, and how their arrays go to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from agents.team import SHARED
from experiments.settings import TrainSettings
from experiments.tasks import scales_of
from marlgrid.rllib.networks import FORBIDDEN, actor_layers, critic_layers
from marlgrid.rllib.policies import fitting
from marlgrid.task.features import OPPONENT
from marlgrid.task.task import Task

MINUS_ONE = torch.tensor(-1.0)


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
                # tanh, as twice a sigmoid less one: in a third of the time that torch takes for it
                values = torch.add(MINUS_ONE, (2 * values).sigmoid_(), alpha=2)
        return values

    def state_of(self, k: int, prefix: str) -> dict[str, np.ndarray]:
        """Arrays of one network, as those of an ``nn.Sequential`` of linear and tanh layers are called."""
        state = {}
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            n_in, n_out = self.sizes[k][depth : depth + 2]
            state[f"{prefix}.{2 * depth}.weight"] = weight[k, :n_in, :n_out].detach().T.numpy().copy()
            state[f"{prefix}.{2 * depth}.bias"] = bias[k, 0, :n_out].detach().numpy().copy()
        return state

    def take(self, k: int, prefix: str, state: Mapping[str, np.ndarray]) -> None:
        """Puts arrays as ``state_of`` gives them into one network."""
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            n_in, n_out = self.sizes[k][depth : depth + 2]
            weight[k, :n_in, :n_out] = torch.as_tensor(state[f"{prefix}.{2 * depth}.weight"]).T
            bias[k, 0, :n_out] = torch.as_tensor(state[f"{prefix}.{2 * depth}.bias"])


class Networks(nn.Module):
    """Actors and critics of all agents. Observations come (n_agent, n, width), filled up with zeros."""

    def __init__(self, task: Task, agents: Sequence[str], settings: TrainSettings) -> None:
        super().__init__()
        shared = settings.policies == "shared"
        policy = {agent: SHARED if shared and agent != OPPONENT else agent for agent in agents}
        self.names = list(dict.fromkeys(policy.values()))
        """Policy ids."""
        members = [self.names.index(policy[agent]) for agent in agents]
        self.members = np.array(members)
        """(n_agent,) which network is whose."""
        self.gather = None if len(self.names) == len(members) else torch.tensor(members)
        self.central = settings.central_critic
        self.act_above = settings.act_above if settings.learner == "zones" else 0.0
        scales = scales_of(settings, task) if settings.learner == "zones" else {}
        hiddens = (settings.hidden,) * 2
        first = {policy[agent]: agent for agent in reversed(agents)}
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

    def load(self, states: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Takes over the arrays of ``states``. Raises ValueError where they do not fit, see ``fitting``."""
        with torch.no_grad():
            for k, given in enumerate(fitting(states, self.states()).values()):
                self.actor.take(k, "actor", given)
                self.critic.take(k, "critic", given)
                for agent in np.flatnonzero(self.members == k):
                    self.mean[agent, 0, : self.n_seen[k]] = torch.as_tensor(given["observation_mean"])
                    self.std[agent, 0, : self.n_seen[k]] = torch.as_tensor(given["observation_std"])

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
