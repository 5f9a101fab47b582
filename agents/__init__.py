"""Policies for teams of zones: baselines, searching agents, and trained ones. Run from a checkout of the project."""

from __future__ import annotations

from agents.base import Agent, act_in
from agents.do_nothing import DoNothing
from agents.greedy import Greedy
from agents.learned import Learned
from agents.random_legal import RandomLegal
from agents.reconnect import Reconnect

__all__ = ["Agent", "DoNothing", "Greedy", "Learned", "RandomLegal", "Reconnect", "act_in"]
