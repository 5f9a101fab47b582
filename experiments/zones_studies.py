"""What the studies of zones compare: per study a list of settings, each a team to train and a way to impair it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from agents.base import Agent
from agents.impaired import Delayed, Silent, Unheard
from experiments.settings import TrainSettings
from marlgrid.task.noise import NoiseSpec

Impair = Callable[[Agent], Agent]


def unimpaired(team: Agent) -> Agent:
    """As it was trained."""
    return team


class Setting(NamedTuple):
    """One row of a study."""

    label: str
    train: TrainSettings
    """The team: settings with the same ``train`` share one."""
    impair: Impair = unimpaired
    """What happens to it when it is evaluated."""
    noise: NoiseSpec = None
    """Of the sensors when it is evaluated."""


class Study(NamedTuple):
    """A question, and what is compared to answer it."""

    question: str
    axis: str
    """What the labels say."""
    settings: Callable[[TrainSettings], list[Setting]]
    """Out of the settings that all studies start from, which are one of them: what the others are compared with."""


def is_reference(setting: Setting, base: TrainSettings) -> bool:
    """Is it the one that the others are compared with?"""
    return setting.train == base and setting.impair is unimpaired and setting.noise is None


def _number(base: TrainSettings) -> list[Setting]:
    numbers = sorted({1, 2, 3, 5, base.zones})
    teams = [Setting(str(n), replace(base, zones=n)) for n in numbers]
    return [*teams, Setting("one per substation", replace(base, partition="substation"))]


def _partition(base: TrainSettings) -> list[Setting]:
    return [
        Setting("electrical distance", base),
        Setting("the case's own", replace(base, zones=0)),
        Setting("by voltage", replace(base, partition="voltage")),
        Setting("scattered", replace(base, partition="scattered")),
    ]


def _observability(base: TrainSettings) -> list[Setting]:
    return [Setting(scope, replace(base, observation=scope)) for scope in ("local", "neighbourhood", "global")]


def _tie_lines(base: TrainSettings) -> list[Setting]:
    return [Setting(policy, replace(base, tie_lines=policy)) for policy in ("both", "origin", "none")]


def _credit(base: TrainSettings) -> list[Setting]:
    return [Setting(reward, replace(base, reward=reward)) for reward in ("team", "difference", "both")]


def _failure(base: TrainSettings) -> list[Setting]:
    zones = [f"zone_{zone}" for zone in range(base.zones)]
    settings = [Setting("none fails", base)]
    settings += [Setting(f"{zone} silent", base, _silent(zones=(zone,))) for zone in zones]
    for words, repeat in (("silent", False), ("repeats", True)):
        settings += [
            Setting(f"all, half the time {words}", base, _silent(rate=0.5, repeat=repeat)),
            Setting(f"all {words} from half-time", base, _silent(start=base.max_steps // 2, repeat=repeat)),
        ]
    return settings


def _delay(base: TrainSettings) -> list[Setting]:
    late = [Setting(str(steps), base, lambda team, steps=steps: Delayed(team, steps)) for steps in (1, 2, 3, 6, 12)]
    return [Setting("0", base), *late]


def _noise(base: TrainSettings) -> list[Setting]:
    noisy = [Setting(str(sigma), base, noise=sigma) for sigma in (0.01, 0.03, 0.1, 0.3)]
    return [Setting("0", base), *noisy, Setting("as Grid2Op", base, noise="grid2op")]


def _communication(base: TrainSettings) -> list[Setting]:
    lossy = [Setting(f"{rate:.0%}", base, lambda team, rate=rate: Unheard(team, rate)) for rate in (0.25, 0.5, 0.75, 1)]
    return [Setting("0%", base), *lossy]


def _silent(**how: object) -> Impair:
    return lambda team: Silent(team, **how)  # type: ignore[arg-type]


STUDIES = {
    "number": Study("How many zones?", "number of zones", _number),
    "partition": Study("Where are the borders?", "zones cut by", _partition),
    "observability": Study("How far must a zone see?", "what a zone sees", _observability),
    "tie-lines": Study("Who switches the lines between zones?", "tie lines switched by", _tie_lines),
    "credit": Study("What should a zone gain?", "reward in training", _credit),
    "failure": Study("What if zones fall silent?", "who fails", _failure),
    "delay": Study("What if observations come late?", "steps of delay", _delay),
    "noise": Study("What if sensors err?", "standard deviation of the errors (normalised units)", _noise),
    "communication": Study("What if zones do not hear from each other?", "messages lost", _communication),
}
