"""Trained zones, read from a checkpoint; neither Ray nor torch is needed to run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.policy import Seen
from agents.team import Team
from marlgrid.rllib.policies import Policy as Network
from marlgrid.rllib.policies import load_policies
from marlgrid.task.actions import Mask


@dataclass(frozen=True, eq=False)
class Trained:
    """A zone that plays the best legal action of a trained network.

    Where that was trained to act only above a line loading, the zone does nothing in calmer steps, unless a line waits
    to be put back.
    """

    network: Network

    def initial_memory(self, n_env: int) -> Any:  # noqa: ARG002 - the protocol says so
        return ()

    def act(self, seen: Seen, mask: Mask, memory: Any) -> tuple[np.ndarray, Any]:
        chosen = self.network.act(seen.observation, mask)
        calm = (seen.alarm < self.network.act_above) & ~seen.waiting
        calm = calm.reshape(-1, *[1] * (chosen.ndim - 1))
        return np.where(calm, 0, chosen), memory


class Learned(Team):
    """Each zone plays the trained network of its own, or the one that all zones share."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        super().__init__({zone: Trained(network) for zone, network in networks.items()})

    @classmethod
    def load(cls, checkpoint: str | Path) -> Learned:
        """The team of a checkpoint of an RLlib algorithm."""
        return cls(load_policies(checkpoint))
