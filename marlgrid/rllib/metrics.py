"""What to see in RLlib's results: survival, illegal actions, overloads, attacks, unserved energy."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

TEAM_TOTALS = ("survival", "survived_steps", "attacks_total")
"""The same in every zone's infos."""
ZONE_TOTALS = ("illegal_total", "overload_total", "unserved_mwh_total")
"""Counted per zone, summed over the team."""


class GridMetrics(RLlibCallback):
    """Logs the totals of each finished episode: means over the last 100 under ``result["env_runners"]``."""

    def on_episode_end(self, *, episode: Any, metrics_logger: Any, **_: Any) -> None:
        infos = {agent: last for agent, last in episode.get_infos(-1).items() if last and agent.startswith("zone_")}
        for name, value in team_totals(infos).items():
            metrics_logger.log_value(name, value, window=100)


def team_totals(infos: dict[str, dict]) -> dict[str, float]:
    """One number per total out of the zones' last infos."""
    if not infos:
        return {}
    first = next(iter(infos.values()))
    totals = {name: float(first[name]) for name in TEAM_TOTALS if name in first}
    totals |= {name: float(sum(own[name] for own in infos.values())) for name in ZONE_TOTALS if name in first}
    return totals
