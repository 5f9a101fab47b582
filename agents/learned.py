"""Trained zones, read from a checkpoint; neither Ray nor torch is needed to run them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from agents.base import Choices
from marlgrid.rllib.policies import Policy, load_policies
from marlgrid.task.task import Episode, Outputs, Task

SHARED = "zones"


class Learned:
    """Each zone plays the best legal action of its own policy, or of the one that all zones share.

    Where the policies were trained to act only above a line loading, the team does nothing in calmer steps.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self.policies = dict(policies)

    @classmethod
    def load(cls, checkpoint: str | Path) -> Learned:
        """The team of a checkpoint of an RLlib algorithm."""
        return cls(load_policies(checkpoint))

    def act(self, task: Task, episode: Episode, outputs: Outputs) -> Choices:
        loading = episode.state.rho.max(axis=1)
        choices: Choices = {}
        for zone in task.zones:
            policy = self._policy(zone)
            chosen = policy.act(outputs.observations[zone], outputs.masks[zone])
            calm = (loading < policy.act_above).reshape(-1, *[1] * (chosen.ndim - 1))
            choices[zone] = np.where(calm, 0, chosen)
        return choices

    def _policy(self, zone: str) -> Policy:
        if zone not in self.policies and SHARED not in self.policies:
            raise KeyError(
                f"no policy for {zone}: the checkpoint holds {sorted(self.policies)}; is it of the same case?"
            )
        return self.policies.get(zone) or self.policies[SHARED]
