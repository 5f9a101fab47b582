"""Teams and policies by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.base import Agent
from agents.coordinator import Coordinator
from agents.do_nothing import DoNothing, Idle
from agents.expert import Expert
from agents.greedy import Greedy
from agents.learned import Learned
from agents.linear_program import LinearProgram
from agents.planner import OfZone
from agents.policy import Policy
from agents.random_legal import RandomLegal, Uniform
from agents.reconnect import Reconnect
from agents.team import SHARED, Team

POLICIES: dict[str, Callable[[], Policy]] = {
    "do-nothing": Idle,
    "random-legal": Uniform,
    "zone-reconnect": lambda: OfZone(Reconnect()),
    "zone-greedy": lambda: OfZone(Greedy()),
    "zone-expert": lambda: OfZone(Expert()),
    "zone-linear-program": lambda: OfZone(LinearProgram()),
}
"""Policies of one zone, which see what it sees."""

AGENTS: dict[str, Callable[[], Agent]] = {
    "do-nothing": DoNothing,
    "random-legal": RandomLegal,
    "reconnect": Reconnect,
    "greedy": Greedy,
    "expert": Expert,
    "linear-program": LinearProgram,
    "coordinator": Coordinator,
}
"""Teams that act as one."""


def names() -> tuple[str, ...]:
    """All names that ``agent_from`` knows."""
    return (*AGENTS, *(name for name in POLICIES if name not in AGENTS))


def agent_from(text: str) -> Agent:
    """The team that a text stands for.

    A name of ``AGENTS``; a name of ``POLICIES``, then all zones play it; the folder of a checkpoint; or different
    policies by zone, ``"zone_0=zone-expert,zone_1=runs/x/checkpoint,zones=do-nothing"`` (``zones``: all others; a
    checkpoint lends each zone the network that it has for it). Raises ValueError for anything else.
    """
    if "=" in text and not Path(text).exists():
        return Team(_by_zone(text))
    if text in AGENTS:
        return AGENTS[text]()
    if text in POLICIES:
        return Team({"zones": POLICIES[text]()})
    if Path(text).is_dir():
        return Learned.load(text)
    raise ValueError(
        f"there is no agent {text!r}: choose from {[*names()]}, give the folder of a checkpoint, or policies by zone "
        "as in 'zone_0=zone-expert,zones=do-nothing'"
    )


def policy_from(text: str, zone: str) -> Policy:
    """The policy of a zone that a text stands for: a name of ``POLICIES``, or the folder of a checkpoint.

    Raises ValueError for anything else, KeyError for a checkpoint without a network for the zone.
    """
    if text in POLICIES:
        return POLICIES[text]()
    if Path(text).is_dir():
        return Learned.load(text).policy(zone)
    raise ValueError(f"there is no policy {text!r} of a zone: choose from {[*POLICIES]}, or give a checkpoint's folder")


def _by_zone(text: str) -> dict[str, Policy]:
    named: dict[str, Policy] = {}
    others: dict[str, Policy] = {}
    for part in text.split(","):
        zone, sign, name = (word.strip() for word in part.partition("="))
        if not sign:
            raise ValueError(
                f"{text!r}: give zone=policy, separated by commas, as in 'zone_0=zone-expert,zones=do-nothing'"
            )
        if zone == SHARED and name not in POLICIES and Path(name).is_dir():
            others = Learned.load(name).policies  # one for each zone, or one that they share
        else:
            named[zone] = policy_from(name, zone)
    return {**others, **named}
