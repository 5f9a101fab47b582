"""What a training run is made of, and how the command line says so."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar

from marlgrid.rllib.price import COSTS

CLIP = 0.2
"""How far a gradient step may move the probability of an action, as a part of it."""
VALUE_CLIP = 100.0
"""Largest squared error of a value that counts."""
CHOICES = {
    "algorithm": ("ippo", "mappo", "dqn"),
    "actions": ("gentle", "splits"),
    "policies": ("independent", "shared"),
    "learner": ("zones", "opponent"),
    "cost": ("", *COSTS),
    "multiplier": ("dual", "pid"),
    "reward": ("team", "difference", "both"),
    "opponent_reward": ("team", "unserved", "blackout"),
}
"""Settings that are one of a few words."""

Settings = TypeVar("Settings", bound="TrainSettings")


def setting(default: Any, help_text: str) -> Any:
    """A field with its line of help."""
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class TrainSettings:
    """One run of a training program; every field is an option of its command line."""

    case: str = setting("case14", "built-in case, Grid2Op environment name or folder")
    zones: int = setting(0, "number of zones; 0 takes the zones of the case")
    partition: str = setting("automatic", "how zones are cut: automatic, substation (one each), voltage, scattered")
    tie_lines: str = setting("both", "who may switch a line between two zones: both, origin, none")
    name: str = setting("", "folder under runs/; empty: the case's name")
    iterations: int = setting(50, "PPO iterations to train for")
    minutes: float = setting(0.0, "time to train for, instead of a number of iterations")
    resume: bool = setting(False, "continue from the checkpoint of the run of this name")
    seed: int = setting(0, "of networks and episodes")

    algorithm: str = setting(
        "ippo", "PPO with local critics (ippo) or central ones (mappo); dqn: experiments.train only"
    )
    policies: str = setting("independent", "one network per zone (independent), or one for all zones (shared)")
    learner: str = setting("zones", "who learns: the zones, or the opponent against frozen zones")
    start_from: str = setting("", "checkpoint whose networks the learner starts with")

    opponent: str = setting(
        "random", "attackers in training: names and checkpoints joined by +; learned: beside the zones"
    )
    reward: str = setting("team", "what zones gain: team, difference (what their own action was worth), or both")
    attack_budget: str = setting("case", "how often it may attack: case (its own terms), none, day-1, day-2, 4-hours")
    defenders: str = setting("do-nothing", "teams that an opponent learns against: names and checkpoints joined by +")
    opponent_reward: str = setting("team", "what an opponent gains: team (minus the zones' reward), unserved, blackout")
    attacked_share: float = setting(0.25, "part of the training episodes in which the opponent is there")
    scenarios: int = setting(400, "training scenarios (weeks) to draw from")
    max_steps: int = setting(288, "steps of an episode: a day of five-minute steps")
    observation: str = setting("global", "what a zone sees: local, neighbourhood, global")
    actions: str = setting(
        "gentle", "what a zone may do: gentle (nothing that weakens the grid), splits (also busbars)"
    )
    strain: float = setting(1.0, "what lines loaded above 0.95 cost in the zones' reward, beside a blackout")
    act_above: float = setting(0.9, "the team decides only when the highest line loading reaches this")

    difficulty: str = setting("default", "of the case: easy, default, hard, or a level of the Grid2Op folder")
    curriculum: str = setting("", "levels before the run's own, such as easy:none,default:day-1 (difficulty:budget)")
    curriculum_survival: float = setting(0.8, "mean survival at which the next level begins")
    curriculum_episodes: int = setting(100, "finished episodes of a level before the next one may begin")
    cost: str = setting("", "cost held below a limit: overload, disconnected, unserved_mwh or illegal; empty: none")
    cost_limit: float = setting(1.0, "of the mean sum of that cost over an episode and all zones")
    multiplier: str = setting("pid", "how the price of the cost follows it: dual ascent (dual) or pid")

    imitate: int = setting(0, "first iterations in which the zones learn what a greedy search would do, not by trial")

    learning_rate: float = setting(1e-3, "of Adam")
    batch: int = setting(4000, "decisions per iteration")
    minibatch: int = setting(500, "decisions per gradient step")
    epochs: int = setting(8, "passes over a batch")
    gamma: float = setting(0.98, "discount per decision")
    gae_lambda: float = setting(0.95, "of the advantage estimates")
    entropy: float = setting(0.003, "weight of the entropy bonus")
    hidden: int = setting(64, "neurons in each of the two hidden layers")
    idle_probability: float = setting(0.3, "of doing nothing, for an untrained zone with all actions legal")
    envs_per_runner: int = setting(32, "episodes stepped side by side in each sampling process")
    runners: int = setting(2, "sampling processes")
    address: str = setting("", "of a Ray cluster for experiments.train, such as auto or ray://head:10001; empty: here")

    validation_episodes: int = setting(32, "episodes of each evaluation during training")
    test_episodes: int = setting(50, "held-out episodes of the final table")

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, choose from {allowed}")
        if self.imitate and self.opponent_learns:
            raise ValueError("imitate is for zones: leave it at 0 where an opponent learns")
        if self.opponent == "learned" and self.act_above > 0:
            raise ValueError(
                f"act_above is {self.act_above}, but an opponent that learns acts in calm steps too: add --act-above 0"
            )

    @property
    def central_critic(self) -> bool:
        """The critics also see the state of the whole grid."""
        return self.algorithm == "mappo"

    @property
    def opponent_learns(self) -> bool:
        """The opponent is an agent, alone or beside the zones."""
        return self.learner == "opponent" or self.opponent == "learned"

    @property
    def folder(self) -> Path:
        """Where everything of the run goes."""
        return Path("runs") / (self.name or Path(self.case).name)

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Self:
        """From values by name, also of another version: what is not known any more is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in saved.items() if name in known})

    @classmethod
    def read(cls, path: Path) -> Self:
        """What ``save`` wrote."""
        return cls.of(json.loads(path.read_text()))


def settings_from(arguments: list[str] | None = None, program: str = "experiments.train") -> TrainSettings:
    """The settings of a command line. Wrong options end the program with a usage message."""
    purpose = "Trains a team of zones with PPO and compares it with baselines on held-out scenarios."
    return parsed(TrainSettings, arguments, program, purpose)


def parsed(kind: type[Settings], arguments: list[str] | None, program: str, purpose: str) -> Settings:
    """Settings of any kind, every field an option."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}", description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for option in fields(kind):
        flag, text = "--" + option.name.replace("_", "-"), option.metadata["help"]
        if isinstance(option.default, bool):
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, type=type(option.default), default=option.default, help=text, metavar="")
    try:
        return kind(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
