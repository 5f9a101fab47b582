"""What to see in RLlib's results: survival, illegal actions, overloads, attacks, unserved energy."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from marlgrid.rllib.totals import team_totals


class GridMetrics(RLlibCallback):
    """Logs the totals of each finished episode: means over the last 100 under ``result["env_runners"]``."""

    def on_episode_end(self, *, episode: Any, metrics_logger: Any, **_: Any) -> None:
        last = {agent: own for agent, own in episode.get_infos(-1).items() if own}
        # an opponent among frozen zones is the only one who knows
        infos = {agent: own for agent, own in last.items() if agent.startswith("zone_")} or last
        for name, value in team_totals(infos).items():
            metrics_logger.log_value(name, value, window=100)
