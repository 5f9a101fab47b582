"""What-if answers side by side: ``obs.simulate`` there, the step on the forecast here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.parity_actions import commands_of, random_keys
from experiments.parity_compare import ALERT, verdicts
from experiments.parity_step import Step, Stepper
from marlgrid.model.time_series import Injections
from marlgrid.simulation.action import joint
from marlgrid.simulation.state import State

N_ACTION = 20
"""Actions tried on each state, doing nothing among them."""
MIXED = ("random", "topology", "dispatch", "hostile")
"""Where the tried actions are drawn from."""
NOT_FORESEEN = ("time_next_maintenance", "duration_next_maintenance", *ALERT)
"""Grid2Op's simulated observation keeps the maintenance of the present, and knows no alert but those of the action."""

LEFT_OVER = "simulated-end-left-over"
"""Exclusion: there an action simulated after one that ended the game was judged on that one's outages."""


class WhatIf:
    """Tries the same actions in both.

    In Grid2Op the outages of a simulated game over stay in its simulator: the next action is judged on them. Where that
    makes a difference, doing nothing is simulated in between and the action asked again.
    """

    def __init__(self, stepper: Stepper, series: Any, differences: Callable[..., list[str]]) -> None:
        """``differences(step, observation, but)`` compares what both foresee."""
        self.stepper, self.series, self.differences = stepper, series, differences
        self.rng = np.random.default_rng(7)

    def compare(
        self, env: Any, state: State, observation: Any, n_action: int = N_ACTION
    ) -> Iterator[tuple[list[str], list[str]]]:
        """Problems and exclusions of each action."""
        grid = self.stepper.system.grid
        if state.t[0] >= self.series.n_rows(int(state.scenario[0])) - 1:
            return
        expected = self.series.forecast(state.scenario, state.t)
        drawn = [random_keys(MIXED[i % len(MIXED)], grid, self.rng) for i in range(n_action - 1)]
        after_end = False
        for keys in [{}, *drawn]:
            action = env.action_space(keys)
            problems, excluded, over = self._compared(state, expected, observation, action)
            if problems and after_end:
                _simulated(observation, env.action_space())
                problems, excluded, over = self._compared(state, expected, observation, action)
                excluded = [*excluded, *([] if problems else [LEFT_OVER])]
            after_end = over
            yield [f"action {keys}: {problem}" for problem in problems], excluded

    def _compared(
        self, state: State, expected: Injections, observation: Any, action: Any
    ) -> tuple[list[str], list[str], bool]:
        """Problems and exclusions of one action, and whether it ends the game there."""
        foreseen, _, done, info = _simulated(observation, action)
        theirs = None if done else foreseen
        asked, going_on = joint([[commands_of(action)]]), state.attack.remaining[0]
        ours: Step = self.stepper.advance(state, expected, asked, going_on, theirs)
        problems = ours.problems + verdicts(ours, done, info)
        if theirs is not None and not problems:
            problems = self.differences(ours.state, theirs, but=NOT_FORESEEN)
        return problems, ours.excluded, done


def _simulated(observation: Any, action: Any) -> tuple[Any, float, bool, dict]:
    """Grid2Op's answer, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return observation.simulate(action)
