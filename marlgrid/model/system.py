"""The frozen whole: a grid, its zones and its rules. First argument of every stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from marlgrid.model.attacker import NOBODY, Attacker
from marlgrid.model.attention import AttentionRules
from marlgrid.model.grid import Grid
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import DEFAULT_RULES, RuleSet
from marlgrid.model.tables import Tables, tables
from marlgrid.model.zones import Zones


@dataclass(frozen=True, eq=False)
class System:
    """What an episode cannot change."""

    grid: Grid
    zones: Zones
    parameters: Parameters
    attack: AttackRules = AttackRules()
    attention: AttentionRules = field(default_factory=AttentionRules)
    delta_time: float = 5.0
    """Minutes per step."""
    rules: RuleSet = DEFAULT_RULES
    """What the actions of the zones are held against."""
    forecast_grid: Grid | None = None
    """The same elements with other characteristics, on which what is foreseen is computed; None: ``grid``."""
    attacker: Attacker = NOBODY
    """The scripted attacker that the data set comes with."""

    @cached_property
    def n_zone(self) -> int:
        return self.zones.n_zone

    @cached_property
    def thermal_limit(self) -> np.ndarray:
        """(n_line,) A."""
        return np.ascontiguousarray(self.grid.thermal_limit, dtype=np.float64)

    @cached_property
    def attackable(self) -> np.ndarray:
        """(n_line,) bool."""
        return np.isin(np.array(self.grid.name_line), self.attack.lines)

    @property
    def dim_alarms(self) -> int:
        """Areas for which alarms can be raised."""
        return len(self.attention.alarm_areas)

    @property
    def dim_alerts(self) -> int:
        """Lines for which alerts can be raised."""
        return len(self.attention.alert_lines)

    @cached_property
    def alert_line(self) -> np.ndarray:
        """(dim_alerts,) int32 number of each alertable line."""
        return self.attention.alert_line(self.grid)

    @cached_property
    def alarm_line(self) -> np.ndarray:
        """(dim_alarms, n_line) bool: the line is in the area."""
        return self.attention.alarm_line(self.grid)

    @cached_property
    def attackable_subs(self) -> np.ndarray:
        """(n_sub,) bool."""
        return np.isin(np.array(self.grid.name_sub), self.attack.subs)

    @cached_property
    def _packed(self) -> tuple[np.ndarray, Tables]:
        return tables(self)

    @cached_property
    def tables(self) -> Tables:
        """The same facts packed for compiled kernels."""
        return self._packed[1]

    @cached_property
    def block(self) -> np.ndarray:
        """The memory of ``tables``: one argument for a kernel instead of five."""
        return self._packed[0]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of elements of each kind, and of steps that alarms and alerts are remembered."""
        grid, parameters = self.grid, self.parameters
        return {
            "line": grid.n_line,
            "sub": grid.n_sub,
            "gen": grid.n_gen,
            "load": grid.n_load,
            "storage": grid.n_storage,
            "shunt": grid.n_shunt,
            "place": grid.dim_topo,
            "bus": grid.n_bus,
            "zone": self.n_zone,
            "alarm": self.dim_alarms,
            "alert": self.dim_alerts,
            "alarm_memory": parameters.alarm_best_time + parameters.alarm_window_size + 1 if self.dim_alarms else 0,
            "alert_memory": parameters.alert_time_window + 1 if self.dim_alerts else 0,
        }

    def problems(self) -> list[str]:
        """Everything that is wrong with it, one sentence each; see ``marlgrid.model.problems``."""
        from marlgrid.model.problems import problems

        return problems(self)
