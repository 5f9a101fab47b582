"""Networks of the agents as RLlib modules: action masks, centralised critic, scripted policies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical, TorchMultiCategorical
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS, InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from marlgrid.rllib.adapter import MASK, OBSERVATION, STATE
from marlgrid.rllib.networks import FORBIDDEN, actor_layers, critic_layers


class MaskedModule(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):
    """Separate actor and critic (tanh layers) on ``obs["observation"]``; illegal actions have probability 0.

    ``model_config``: ``hiddens`` (sizes of the hidden layers), ``idle_probability`` (of action 0 at the start if all
    actions are legal; 0 keeps the uniform start), ``act_above`` (kept with the weights, see ``RLlibParallelEnv``) and
    ``scale``, a pair (mean, std) of (n_observation,) arrays by which observations are standardised, or None.
    Works with PPO and IMPALA. Inputs and outputs are as in RLlib's own modules.
    """

    def setup(self) -> None:
        self.components = action_components(self.action_space)
        settings = dict(self.model_config)
        inner = math.prod(self.observation_space[OBSERVATION].shape)
        hiddens = tuple(settings["hiddens"])
        idle = float(settings.get("idle_probability", 0.0))
        self.actor = actor_layers(inner, hiddens, self.components, idle)
        self.critic = critic_layers(self._critic_inputs(), hiddens)
        mean, std = settings.get("scale") or (np.zeros(inner), np.ones(inner))
        # Buffers travel with the weights, so that a policy knows from them alone how it is to be used.
        self.register_buffer("observation_mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("observation_std", torch.as_tensor(std, dtype=torch.float32))
        self.register_buffer("action_components", torch.tensor(self.components))
        self.register_buffer("act_above", torch.tensor(float(settings.get("act_above", 0.0))))

    def get_non_inference_attributes(self) -> list[str]:
        return ["critic"]

    def get_inference_action_dist_cls(self) -> type:
        if isinstance(self.action_space, spaces.Discrete):
            return TorchCategorical
        return TorchMultiCategorical.get_partial_dist_cls(space=self.action_space, input_lens=list(self.components))

    def compute_values(self, batch: dict, embeddings: Any = None) -> torch.Tensor:  # noqa: ARG002 (RLlib's)
        return self.critic(self._standardised(batch)).squeeze(-1)

    def _forward(self, batch: dict, **_: Any) -> dict:
        return {Columns.ACTION_DIST_INPUTS: self._masked_logits(self.actor, batch)}

    def _masked_logits(self, actor: nn.Module, batch: dict) -> torch.Tensor:
        seen = batch[Columns.OBS]
        mask = seen[MASK]
        if isinstance(mask, tuple | list):
            mask = torch.cat(tuple(mask), dim=-1)
        return torch.where(mask > 0, actor(self._standardised(batch)), FORBIDDEN)

    def _standardised(self, batch: dict) -> torch.Tensor:
        return (_flat(batch[Columns.OBS][OBSERVATION]) - self.observation_mean) / self.observation_std

    def _critic_inputs(self) -> int:
        return math.prod(self.observation_space[OBSERVATION].shape)


class CentralCriticModule(MaskedModule):
    """The critic also sees ``obs["state"]`` of the whole grid; the actor does not (centralised training only)."""

    def compute_values(self, batch: dict, embeddings: Any = None) -> torch.Tensor:  # noqa: ARG002 (RLlib's)
        seen = batch[Columns.OBS]
        return self.critic(torch.cat([_flat(seen[STATE]), self._standardised(batch)], dim=-1)).squeeze(-1)

    def _critic_inputs(self) -> int:
        return super()._critic_inputs() + math.prod(self.observation_space[STATE].shape)


class MaskedAPPOModule(MaskedModule, TargetNetworkAPI):
    """For APPO, which also asks a slowly moving copy of the actor."""

    def make_target_networks(self) -> None:
        self.old_actor = make_target_network(self.actor)

    def get_target_network_pairs(self) -> list[tuple]:
        return [(self.actor, self.old_actor)]

    def forward_target(self, batch: dict) -> dict:
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self._masked_logits(self.old_actor, batch)}

    def get_non_inference_attributes(self) -> list[str]:
        return [*super().get_non_inference_attributes(), "old_actor"]


class ScriptedModule(RLModule):
    """A fixed policy: ``model_config["policy"](observation, mask)`` gives the actions of a batch; it is never trained.

    ``observation`` is (n, n_observation) float32; ``mask`` (n, n_action), the components of a multi-discrete space one
    after the other; the result (n,) or (n, n_component) whole numbers.
    """

    framework = "torch"

    def _forward(self, batch: dict, **_: Any) -> dict:
        seen = batch[Columns.OBS]
        mask = seen[MASK]
        if isinstance(mask, tuple | list):
            mask = np.concatenate([np.asarray(part) for part in mask], axis=-1)
        return {
            Columns.ACTIONS: np.asarray(self.model_config["policy"](np.asarray(seen[OBSERVATION]), np.asarray(mask)))
        }

    def _forward_train(self, batch: dict, **_: Any) -> dict:
        raise NotImplementedError("a scripted policy cannot be trained: leave it out of policies_to_train")


def action_components(space: spaces.Space) -> tuple[int, ...]:
    """Sizes of the categorical choices that make up an action."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(int(n) for n in space.nvec)
    raise ValueError(
        f'action space {space} cannot be masked; make the environment with actions="discrete" or "multi_discrete"'
    )


def _flat(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).float()
