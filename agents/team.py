"""A team made of one policy per zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.base import Choices
from agents.policy import Policy, Seen
from marlgrid.task.task import Episode, Outputs, Task

SHARED = "zones"
"""Key of a policy that all zones without one of their own share."""


class Team:
    """Each zone plays its own policy, or the one under ``"zones"``: ``Team({"zone_0": a, "zones": b})``.

    A policy sees what its zone sees, and nothing of what the others answer.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self.policies = dict(policies)

    def initial_memory(self, task: Task, n_env: int) -> dict[str, Any]:
        """Zone -> its policy's memory."""
        return {zone: self.policy(zone).initial_memory(n_env) for zone in task.zones}

    def act(
        self, task: Task, episode: Episode, outputs: Outputs, memory: dict[str, Any]
    ) -> tuple[Choices, dict[str, Any]]:
        choices: Choices = {}
        kept: dict[str, Any] = {}
        for zone in task.zones:
            seen = Seen.of(task, episode, outputs, zone)
            # spaces that are not discrete have no mask
            choices[zone], kept[zone] = self.policy(zone).act(seen, outputs.masks.get(zone, ()), memory[zone])
        return choices, kept

    def policy(self, zone: str) -> Policy:
        """The policy of a zone. Raises KeyError for a zone without one."""
        if zone not in self.policies and SHARED not in self.policies:
            raise KeyError(f"no policy for {zone}: there are {sorted(self.policies)}; is it a team of the same case?")
        return self.policies[zone if zone in self.policies else SHARED]
