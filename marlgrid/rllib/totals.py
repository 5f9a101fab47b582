"""What became of an episode, in one number per total for the whole team."""

from __future__ import annotations

TEAM_TOTALS = ("survival", "survived_steps", "attacks_total", "cost")
"""The same in every zone's infos."""
ZONE_TOTALS = ("illegal_total", "overload_total", "unserved_mwh_total")
"""Counted per zone, summed over the team."""


def team_totals(infos: dict[str, dict]) -> dict[str, float]:
    """One number per total out of the zones' last infos."""
    if not infos:
        return {}
    first = next(iter(infos.values()))
    totals = {name: float(first[name]) for name in TEAM_TOTALS if name in first}
    totals |= {name: float(sum(own[name] for own in infos.values())) for name in ZONE_TOTALS if name in first}
    return totals
