"""Where an episode begins: which seed, which scenario, which row of it, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.frame import Memory
from marlgrid.simulation.state import Outcome
from marlgrid.task.task import Episode, Outputs, Task

RESET_OPTIONS = ("scenario", "max_steps", "start", "init_state", "thermal_limit")
OTHER_NAMES = {
    "time serie id": "scenario",
    "max step": "max_steps",
    "init ts": "start",
    "init state": "init_state",
    "thermal limit": "thermal_limit",
}
"""Grid2Op's names of the options."""


LARGEST_SEED = np.iinfo(np.int64).max


class Draw(NamedTuple):
    """What chance says of the beginning of an episode."""

    seed: int
    scenario: float
    t_start: float
    """As parts of what there is, in [0, 1)."""


class Start(NamedTuple):
    """The beginning of one episode."""

    seed: int
    scenario: int
    t_start: int
    max_steps: int
    init_state: Any = None
    """Keys as for ``make_action``, or commands: played as part of the start, exempt from the rules."""
    thermal_limit: Any = None
    """(n_line,) A or a mapping from line names to A; None: the grid's."""


@dataclass(frozen=True)
class Starts:
    """How the episodes of an environment begin, unless the options of a reset say otherwise."""

    series: TimeSeries
    split: str = "train"
    """Episodes draw their scenario from this split of the series."""
    scenario: int | None = None
    """One scenario for all episodes, of any split."""
    start: int | str = 0
    """Row of the scenario at which episodes start, or ``"random"``: any that leaves room for ``max_steps``."""
    max_steps: int | None = None
    """Steps after which an episode is truncated; None: at the end of the scenario, which always ends it."""
    n_scenarios: int | None = None
    """Scenarios that are drawn from at most, from the first of the split on; None: all."""

    def __post_init__(self) -> None:
        if self.split not in self.series.splits:
            raise ValueError(f"unknown split {self.split!r}; choose from {sorted(self.series.splits)}")
        if len(self.series.splits[self.split]) == 0 and self.scenario is None:
            raise ValueError(f"split {self.split!r} holds no scenario; choose another, or name a scenario")
        _checked(self.series, {"scenario": self.scenario, "start": self.start, "max_steps": self.max_steps})
        if self.n_scenarios is not None and _whole("n_scenarios", self.n_scenarios) < 1:
            raise ValueError(f"n_scenarios is {self.n_scenarios}, give at least 1, or None for all of the split")

    def limited(self, max_steps: int | None) -> Starts:
        """The same, with another time limit."""
        return replace(self, max_steps=max_steps)

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any] | None = None) -> Start:
        """The next start of a stream of episodes; see ``of``."""
        return self.of(drawn(rng), options)

    def of(self, draw: Draw, options: Mapping[str, Any] | None = None) -> Start:
        """The start that a draw leads to.

        Raises ValueError for unknown options, scenarios and rows, TypeError for options that are not whole numbers.
        """
        options = _checked(self.series, options) if options else {}
        scenarios = self.series.splits[self.split][: self.n_scenarios]
        scenario = options.get("scenario", self.scenario)
        if scenario is None:
            scenario = scenarios[int(draw.scenario * len(scenarios))]
        last = self.series.n_rows(scenario) - 1
        limit = options.get("max_steps", self.max_steps)
        start = options.get("start", self.start)
        if start == "random":
            start = int(draw.t_start * (last if limit is None else max(last - limit + 1, 1)))
        elif start >= last:
            raise ValueError(f"start is {start}, but scenario {scenario} has rows 0 to {last}: give at most {last - 1}")
        n_step = last - start if limit is None else min(limit, last - start)
        return Start(
            draw.seed, int(scenario), int(start), n_step, options.get("init_state"), options.get("thermal_limit")
        )


def drawn(rng: np.random.Generator) -> Draw:
    """The next of a stream; always as much of it, so streams stay aligned whatever the options."""
    return Draw(int(rng.integers(LARGEST_SEED)), rng.random(), rng.random())


def begin(
    task: Task, starts: Sequence[Start], memory: Memory | None = None, act_above: float = 0.0
) -> tuple[Episode, Outputs]:
    """The episodes that begin so. Raises ValueError where the grid cannot be run from the start on."""
    seed, scenario, t_start, max_steps, init_state, thermal_limit = zip(*starts, strict=True)
    numbers = np.array(seed), np.array(scenario), np.array(t_start), np.array(max_steps)
    episode, outputs = task.reset(*numbers, init_state, thermal_limit, memory, act_above)
    outcomes = episode.state.outcome.tolist()
    lost = next((row for row, outcome in enumerate(outcomes) if outcome != Outcome.RUNNING), None)
    if lost is not None:
        start, outcome = starts[lost], Outcome(outcomes[lost])
        raise ValueError(
            f"scenario {start.scenario} cannot start at row {start.t_start}: {outcome.name}; choose another scenario "
            "or start, or check thermal limits and initial state"
        )
    return episode, outputs


def _checked(series: TimeSeries, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something; an error names what is unknown or out of range."""
    options = {OTHER_NAMES.get(key, key): value for key, value in options.items()}
    # PettingZoo's conformance tests pass the key "options" to see that a reset takes options at all
    unknown = sorted(set(options) - {*RESET_OPTIONS, "options"})
    if unknown:
        raise ValueError(f"unknown reset option(s) {unknown}; choose from {list(RESET_OPTIONS)}")
    given = {key: options[key] for key in RESET_OPTIONS if options.get(key) is not None}
    for key, value in given.items():
        if (key == "start" and isinstance(value, str) and value == "random") or key in ("init_state", "thermal_limit"):
            continue
        given[key] = _whole(key, value)
    if given.get("max_steps", 1) < 1:
        raise ValueError(f"max_steps is {given['max_steps']}, give at least 1")
    if given.get("start", 0) != "random" and given.get("start", 0) < 0:
        raise ValueError(f"start is {given['start']}, give a row of the scenario (0 or more) or 'random'")
    if "scenario" in given and not any(given["scenario"] in numbers for numbers in series.splits.values()):
        known = ", ".join(f"{name} {r.start} to {r.stop - 1}" for name, r in series.splits.items() if len(r))
        raise ValueError(f"there is no scenario {given['scenario']}; the series has {known}")
    return given


def _whole(name: str, value: Any) -> int:
    if type(value) is not int and (not isinstance(value, Integral) or isinstance(value, bool)):
        raise TypeError(f"{name} is {value!r}, give a whole number")
    return int(value)
