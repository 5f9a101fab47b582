"""Q-networks of the agents as RLlib modules, with action masks: for DQN."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.core.rl_module.apis.q_net_api import QNetAPI
from torch import nn

from marlgrid.rllib.adapter import MASK
from marlgrid.rllib.modules import MaskedModule


class MaskedQModule(MaskedModule, QNetAPI, TargetNetworkAPI):
    """The actor's layers give the value of each action; illegal ones count as worse than any. Discrete actions only.

    The best action of a Q-network and the likeliest of an actor are found alike, so its checkpoints play as others do.
    ``model_config`` has two more entries: ``explore``, a list of (decisions so far, share of random actions), between
    which is interpolated; and ``explore_idle``, the part of the random actions that do nothing.
    """

    def setup(self) -> None:
        # a head start of doing nothing is for probabilities, not for values
        self.model_config: dict[str, Any] = {**self.model_config, "idle_probability": 0.0}
        super().setup()
        del self.critic

    def get_non_inference_attributes(self) -> list[str]:
        return ["old_actor"]

    def make_target_networks(self) -> None:
        self.old_actor = make_target_network(self.actor)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.actor, self.old_actor)]

    def forward_target(self, batch: dict) -> dict:
        return {QF_PREDS: self._masked_logits(self.old_actor, batch)}

    def compute_q_values(self, batch: dict) -> dict:
        return {QF_PREDS: self._masked_logits(self.actor, batch)}

    def compute_advantage_distribution(self, batch: dict) -> dict:
        raise NotImplementedError("values are learnt as means, not as distributions: leave num_atoms at 1")

    def _forward(self, batch: dict, **_: Any) -> dict:
        return {Columns.ACTIONS: self.compute_q_values(batch)[QF_PREDS].argmax(dim=-1)}

    def _forward_exploration(self, batch: dict, t: int = 0, **_: Any) -> dict:
        best = self._forward(batch)[Columns.ACTIONS]
        weight = (batch[Columns.OBS][MASK] > 0).float()
        idle = float(self.model_config.get("explore_idle", 0.0))
        others = weight[..., 1:].sum(dim=-1)
        # with nothing else to do, doing nothing is what remains
        weight[..., 0] = torch.where(others > 0, idle / max(1 - idle, 1e-6) * others, 1.0)
        random = torch.multinomial(weight, 1).squeeze(-1)
        share = interpolated(self.model_config["explore"], t)
        return {Columns.ACTIONS: torch.where(torch.rand(best.shape) < share, random, best)}

    def _forward_train(self, batch: dict, **_: Any) -> dict:
        following = {Columns.OBS: batch[Columns.NEXT_OBS]}
        return {
            QF_PREDS: self.compute_q_values(batch)[QF_PREDS],
            QF_NEXT_PREDS: self.compute_q_values(following)[QF_PREDS],
            QF_TARGET_NEXT_PREDS: self.forward_target(following)[QF_PREDS],
        }


def interpolated(points: list, t: float) -> float:
    """The value at ``t`` on the lines between points (t, value) in order; constant before and behind them."""
    (before, value), *rest = points
    for after, following in rest:
        if t < after:
            part = max(t - before, 0.0) / (after - before)
            return float(value + part * (following - value))
        before, value = after, following
    return float(value)
