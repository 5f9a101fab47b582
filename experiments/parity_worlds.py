"""Grid2Op's environment and its data here, so that both worlds play the same scenario with the same outages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from marlgrid.simulation.state import State

CASES = (
    "rte_case5_example", "l2rpn_case14_sandbox", "l2rpn_case14_sandbox_diff_grid", "educ_case14_redisp",
    "educ_case14_storage", "rte_case14_realistic", "rte_case14_redisp", "rte_case14_test", "rte_case14_opponent",
    "l2rpn_wcci_2020", "l2rpn_neurips_2020_track1", "l2rpn_icaps_2021", "l2rpn_neurips_2020_track2",
    "l2rpn_wcci_2022_dev", "l2rpn_idf_2023", "rte_case118_example",
)  # fmt: skip
"""What the package of Grid2Op ships and can load."""


def grid2op_environment(case: str, parameters: Mapping[str, Any], rewards: Mapping[str, type]) -> Any:
    """Grid2Op's environment with every kind of action, its own opponent, and some parameters changed.

    It tells ``rewards`` in each step.
    """
    import grid2op
    from grid2op.Action import PlayableAction
    from lightsim2grid import LightSimBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = grid2op.make(
            case, test=True, backend=LightSimBackend(), action_class=PlayableAction, other_rewards=dict(rewards)
        )
        for env in mixes_of(world) if parameters else ():
            changed = env.parameters
            changed.init_from_dict({name.upper(): value for name, value in parameters.items()})
            env.change_parameters(changed)
            env.change_forecast_parameters(changed)
        return world


def mixes_of(world: Any) -> list[Any]:
    """The environments of a multimix, or the one that there is."""
    return list(world) if hasattr(world, "mix_envs") else [world]


def scenarios_of(world: Any) -> list[tuple[Any, int]]:
    """Environment and position in it of each scenario; a multimix has its mixes one after the other, as here."""
    return [(mix, i) for mix in mixes_of(world) for i in range(len(mix.chronics_handler.subpaths))]


def attacks_in(info: dict, n_line: int) -> np.ndarray:
    """(n_line,) remaining steps of the attacks in force, the step that ``info`` tells of included."""
    struck = info["opponent_attack_line"]
    none = np.zeros(n_line, dtype=np.int32)
    return none if struck is None else np.asarray(struck) * np.int32(info["opponent_attack_duration"])


class Replay:
    """Our series with the outages that Grid2Op reports, whatever it drew them from."""

    def __init__(self, series: Any) -> None:
        self.series, self.outages = series, None
        self.n_horizon, self.delta_time, self.splits = series.n_horizon, series.delta_time, series.splits

    def note(self, time_next: Any, duration: Any, hazard: np.ndarray) -> None:
        """Takes over maintenance and hazards (n_line,) of the row in force."""
        self.outages = [np.array(part, dtype=np.int32)[None] for part in (time_next, duration, hazard)]

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int = 1) -> Any:
        """One step ahead: maintenance goes on as planned, hazards run out."""
        time_next, duration, hazard = self.outages
        later, left = planned(time_next, duration)
        return self.series.forecast(scenario, t, horizon)._replace(
            time_next_maintenance=later, duration_next_maintenance=left, hazard_duration=np.maximum(hazard - 1, 0)
        )

    def n_rows(self, scenario: int) -> int:
        return self.series.n_rows(scenario)

    def start(self, scenario: int) -> np.datetime64:
        return self.series.start(scenario)

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Any:
        time_next, duration, hazard = self.outages
        return self.series.at(scenario, t)._replace(
            time_next_maintenance=time_next, duration_next_maintenance=duration, hazard_duration=hazard
        )

    def note_plan(self, state: State, hazard: np.ndarray) -> None:
        """After a game over Grid2Op says nothing of maintenance: it went on as planned."""
        known = state.injections.time_next_maintenance[0], state.injections.duration_next_maintenance[0]
        self.note(*planned(*known), hazard)


def planned(time_next: np.ndarray, duration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maintenance one step later, as far as it can be told from what is known now."""
    inside = time_next == 0
    later = np.where(inside & (duration <= 1), -1, np.where(time_next > 0, time_next - 1, time_next))
    return later.astype(np.int32), np.where(inside, np.maximum(duration - 1, 0), duration).astype(np.int32)
