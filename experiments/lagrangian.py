"""Costs kept below a limit while the reward is learnt: the price of a cost, which rises as long as it is exceeded.

What agents then earn is ``marlgrid.rllib.PricedCost.penalised``.

References: Tessler, Mankowitz and Mannor 2019 (reward constrained policy optimisation: the penalised reward, and dual
ascent); Stooke, Achiam and Abbeel 2020 (the same as control: proportional and derivative terms damp the swings).
"""

from __future__ import annotations

from dataclasses import dataclass

GAINS = {"dual": (0.0, 0.02, 0.0), "pid": (0.1, 0.02, 0.1)}
"""Name -> proportional, integral and derivative gain; with the integral alone this is dual ascent."""


@dataclass
class Multiplier:
    """The Lagrange multiplier of one constraint: the mean cost of an episode must not exceed ``limit`` (above 0)."""

    limit: float
    gains: tuple[float, float, float] = GAINS["pid"]
    value: float = 0.0
    """What a unit of cost over the limit is worth in reward, 0 or more."""
    total: float = 0.0
    """Sum of the excess so far, as a part of the limit; never below 0, where it would have to be caught up."""
    last: float | None = None
    """The mean cost at the last update."""

    def __post_init__(self) -> None:
        if self.limit <= 0:
            raise ValueError(f"cost limit is {self.limit}, give a number above 0")

    def update(self, cost: float) -> float:
        """The new value, after episodes with this mean cost."""
        excess = cost / self.limit - 1.0
        rise = 0.0 if self.last is None else max(cost - self.last, 0.0) / self.limit
        self.total, self.last = max(self.total + excess, 0.0), cost
        proportional, integral, derivative = self.gains
        self.value = max(proportional * excess + integral * self.total + derivative * rise, 0.0)
        return self.value
