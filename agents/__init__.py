"""Policies for teams of zones: baselines, searching agents, and trained ones. Run from a checkout of the project."""

from __future__ import annotations

from agents.base import Agent, act_in, rows_of
from agents.coordinator import Coordinator
from agents.do_nothing import DoNothing
from agents.expert import Expert
from agents.greedy import Greedy
from agents.learned import Learned
from agents.linear_program import LinearProgram
from agents.planner import OfZone
from agents.policy import Policy, Seen
from agents.random_legal import RandomLegal
from agents.reconnect import Reconnect
from agents.registry import agent_from, policy_from
from agents.team import Team

__all__ = [
    "Agent",
    "Coordinator",
    "DoNothing",
    "Expert",
    "Greedy",
    "Learned",
    "LinearProgram",
    "OfZone",
    "Policy",
    "RandomLegal",
    "Reconnect",
    "Seen",
    "Team",
    "act_in",
    "agent_from",
    "policy_from",
    "rows_of",
]
