"""A cost that agents pay for in their rewards, at a price that is set from outside while they learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COSTS = {
    "overload": "cost_overload",
    "disconnected": "cost_disconnected",
    "unserved_mwh": "cost_unserved_mwh",
    "illegal": "illegal",
}
"""Name -> its key in the infos of the zones."""


@dataclass
class PricedCost:
    """A cost of the whole team, which every agent pays for. Raises ValueError for an unknown one and a limit of 0."""

    name: str
    """One of ``COSTS``."""
    limit: float
    """Of the sum over an episode: the unit in which the cost is counted."""
    price: float = 0.0
    """In reward, of a limit's worth of cost; 0 or more."""

    def __post_init__(self) -> None:
        if self.name not in COSTS:
            raise ValueError(f"unknown cost {self.name!r}; choose from {sorted(COSTS)}")
        if self.limit <= 0:
            raise ValueError(f"cost limit is {self.limit}, give a number above 0")

    def of(self, infos: Mapping[str, Mapping[str, Any]]) -> Any:
        """The cost of a step, summed over the zones: a number, or (n_env,) of a batch."""
        return sum(own[COSTS[self.name]] for agent, own in infos.items() if agent.startswith("zone_"))

    def penalised(self, reward: Any, cost: Any) -> Any:
        """The reward less the price of the cost, scaled so that it stays in the same order of size."""
        return (reward - self.price * cost / self.limit) / (1.0 + self.price)


def set_price(runner: Any, price: float) -> None:
    """In all environments of an env runner of RLlib whose ``env_config`` has a ``cost``."""
    own = getattr(runner, "cost", None)
    for cost in [env.unwrapped.cost for env in runner.env.envs] if own is None else [own]:
        cost.price = price
