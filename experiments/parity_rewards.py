"""The rewards of both worlds under one name, and where their values differ."""

from __future__ import annotations

from typing import Any

from marlgrid.model.system import System
from marlgrid.simulation.action import Action
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import State
from marlgrid.task.reward import (
    REWARDS,
    BridgeReward,
    CombinedScaledReward,
    FlatReward,
    N1Reward,
    RedispReward,
    RewardFn,
    reward_from,
    values_of,
)

COMBINED = {"GameplayReward": 1.0, "EconomicReward": 2.0, "RedispReward": 0.5, "DistanceReward": 1.5}
N1_LINE = 3
TOLERANCE = 1e-3
"""Relative, below 1 absolute."""


ELSEWHERE = ("survival", "SquaredMarginReward", "N1Reward", "AlarmReward", "AlertReward", "DifferenceReward")
"""Not in Grid2Op, or not in every environment, or with arguments."""


def of_warnings(system: System) -> tuple[str, ...]:
    """The rewards that only environments with alarms or alerts have."""
    return ("AlarmReward",) * bool(system.dim_alarms) + ("AlertReward",) * bool(system.dim_alerts)


def ours(also: tuple[str, ...] = ()) -> dict[str, RewardFn]:
    """Our rewards that Grid2Op has too, by its names; some with arguments besides."""
    named = {name: reward_from(name) for name in REWARDS if name not in ELSEWHERE or name in also}
    return named | {
        "N1Reward": N1Reward(line=N1_LINE, solver="lightsim"),
        "CombinedReward": reward_from(COMBINED),
        "CombinedScaledReward": CombinedScaledReward(reward_from(COMBINED)),
        "FlatReward(2)": FlatReward(per_timestep=2.0),
        "RedispReward(3)": RedispReward(alpha=3.0),
        "BridgeReward(1, 4)": BridgeReward(min_pen_lte=1.0, max_pen_gte=4.0),
    }


def theirs(also: tuple[str, ...] = ()) -> dict[str, type]:
    """Grid2Op's classes under the same names; those with arguments as classes that fill them in."""
    from grid2op import Reward

    def with_arguments(name: str, *arguments) -> type:
        cls = getattr(Reward, name)
        return type(name, (cls,), {"__init__": lambda self, logger=None: cls.__init__(self, *arguments, logger=logger)})

    def combined(name: str) -> type:
        cls = getattr(Reward, name)

        def filled(self, logger=None):
            cls.__init__(self, logger=logger)
            for part, weight in COMBINED.items():
                self.addReward(part, getattr(Reward, part)(), weight)

        return type(name, (cls,), {"__init__": filled})

    classes = {name: getattr(Reward, name) for name in ours(also) if hasattr(Reward, name)}
    return classes | {
        "N1Reward": with_arguments("N1Reward", N1_LINE),
        "CombinedReward": combined("CombinedReward"),
        "CombinedScaledReward": combined("CombinedScaledReward"),
        "FlatReward(2)": with_arguments("FlatReward", 2.0),
        "RedispReward(3)": Reward.RedispReward.generate_class_custom_params(alpha_redisph=3.0),
        "BridgeReward(1, 4)": with_arguments("BridgeReward", 1.0, 4.0),
    }


class Rewards:
    """Our rewards beside those that Grid2Op tells."""

    def __init__(self, system: System) -> None:
        self.system, self.by_name = system, ours(of_warnings(system))
        if system.parameters.env_dc:
            # Grid2Op solves the outage by alternating current from what the linear flow left, reactive loads among it:
            # 1.2 % above ours on educ_case14_storage, 0.5 % below ours without reactive loads
            del self.by_name["N1Reward"]

    def differences(
        self, before: State, action: Action, ruling: Ruling, after: State, told: dict[str, Any]
    ) -> list[str]:
        """The rewards that differ from those told in Grid2Op's info."""
        problems = []
        for name, reward in self.by_name.items():
            here = float(values_of(reward, self.system, before, action, ruling, after)[0, 0])
            there = float(told[name])
            if not abs(here - there) <= TOLERANCE * max(abs(there), 1.0):
                problems.append(f"{name} there {there:g}, here {here:g}")
        return problems
