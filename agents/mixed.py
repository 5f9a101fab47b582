"""One of several teams in each episode: what an attacker trains against when it is to beat them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.attackers import drawn_members, shares, weighted_parts
from agents.base import Agent, Choices, rows_of, with_rows
from agents.registry import agent_from
from marlgrid.simulation.action import NO_COMMANDS
from marlgrid.simulation.state import take
from marlgrid.task.task import Episode, Outputs, Task

STREAM_TEAM = 963


class MixedTeam:
    """A team per episode, drawn from the episode's seed in proportion to the weights (equal without any)."""

    def __init__(self, members: Sequence[Agent], weights: Sequence[float] = ()) -> None:
        self.members, self.weights = tuple(members), shares(len(members), weights)

    def initial_memory(self, task: Task, n_env: int) -> tuple[Any, ...]:
        return tuple(member.initial_memory(task, n_env) for member in self.members)

    def act(self, task: Task, episode: Episode, outputs: Outputs, memory: tuple[Any, ...]) -> tuple[Choices, Any]:
        if len(self.members) == 1:
            choices, after = self.members[0].act(task, episode, outputs, memory[0])
            return choices, (after,)
        whose = drawn_members(episode.state, self.weights, STREAM_TEAM)
        joint: dict[str, list[Any]] = {zone: [NO_COMMANDS] * episode.state.n_env for zone in task.zones}
        following = list(memory)
        for k, member in enumerate(self.members):
            rows = np.flatnonzero(whose[k])
            if len(rows) == 0:
                continue
            part = take(episode, rows)
            choices, after = member.act(task, part, task.look(part), rows_of(memory[k], rows))
            following[k] = with_rows(memory[k], rows, after)
            for zone, answers in choices.items():
                for row, answer in zip(rows.tolist(), answers, strict=True):
                    joint[zone][row] = answer
        return joint, tuple(following)


def team_from(text: str) -> Agent:
    """A team by what ``agent_from`` takes, or a mixture: names and checkpoints joined by +, with weights before a *."""
    weights, names = weighted_parts(text)
    if len(names) == 1:
        return agent_from(names[0])
    return MixedTeam([agent_from(name) for name in names], weights)
