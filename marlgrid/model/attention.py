"""The operator's attention: which alarms (per area) and alerts (per line) can be raised, and what an alarm costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.zones import Zones


@dataclass(frozen=True)
class AttentionRules:
    """What the agents may warn the operators of (Grid2Op's zonal alarms and its alerts by line).

    An alarm says that an area will need help, an alert that an attack on a line cannot be survived. All zones share
    one budget of alarms: raising any in a step costs ``alarm_cost`` once, a step without alarm brings in
    ``budget_per_step``. Alerts are free.
    """

    alarm_areas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the lines of each area; a line may be in several."""
    alert_lines: tuple[str, ...] = ()
    """Names of the lines whose attack can be alerted to."""
    initial_budget: float = 2.0
    max_budget: float = 3.0
    budget_per_step: float = 1.0 / 192.0
    """Gained in each step without alarm and without refused action, up to ``max_budget``."""
    alarm_cost: float = 1.0

    def __post_init__(self) -> None:
        for name in ("initial_budget", "max_budget", "budget_per_step", "alarm_cost"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"attention {name} is {getattr(self, name)}, give a number of at least 0")
        repeated = sorted({name for name in self.alert_lines if self.alert_lines.count(name) > 1})
        if repeated:
            raise ValueError(f"attention alert_lines name {repeated} more than once")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of the alarm areas."""
        return tuple(self.alarm_areas)

    def unknown_lines(self, grid: Grid) -> list[str]:
        """Names of lines that the grid does not have."""
        named = {line for lines in self.alarm_areas.values() for line in lines} | set(self.alert_lines)
        return sorted(named - set(grid.name_line))

    # ------------------------------------------------------------------ as arrays
    def alert_line(self, grid: Grid) -> np.ndarray:
        """(dim_alerts,) int32 number of each alertable line."""
        return np.array([grid.name_line.index(name) for name in self.alert_lines], dtype=np.int32)

    def alarm_line(self, grid: Grid) -> np.ndarray:
        """(dim_alarms, n_line) bool: the line is in the area."""
        names = np.array(grid.name_line)
        member = np.zeros((len(self.alarm_areas), grid.n_line), dtype=np.bool_)
        for area, lines in enumerate(self.alarm_areas.values()):
            member[area] = np.isin(names, lines)
        return member

    def may_alarm(self, zones: Zones) -> np.ndarray:
        """(n_zone, dim_alarms) bool: an end of a line of the area is in the zone."""
        member = self.alarm_line(zones.grid)
        return (zones.line_in_zone[:, None, :] & member[None]).any(axis=2)

    def may_alert(self, zones: Zones) -> np.ndarray:
        """(n_zone, dim_alerts) bool: an end of the line is in the zone."""
        return np.ascontiguousarray(zones.line_in_zone[:, self.alert_line(zones.grid)])
