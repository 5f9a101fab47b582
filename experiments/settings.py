"""What a training run is made of, and how the command line says so."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

CLIP = 0.2
"""How far a gradient step may move the probability of an action, as a part of it."""
VALUE_CLIP = 100.0
"""Largest squared error of a value that counts."""


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

    policies: str = setting("independent", "one network per zone (independent), or one for all zones (shared)")
    central_critic: bool = setting(False, "the critics also see the state of the whole grid")

    opponent: str = setting("random", "attacker in training: none, random, weighted, geometric, or learned")
    attack_budget: str = setting("case", "how often it may attack: case (its own terms), none, day-1, day-2, 4-hours")
    attacked_share: float = setting(0.25, "part of the training episodes in which the opponent is there")
    scenarios: int = setting(400, "training scenarios (weeks) to draw from")
    max_steps: int = setting(288, "steps of an episode: a day of five-minute steps")
    observation: str = setting("global", "what a zone sees: local, neighbourhood, global")
    act_above: float = setting(0.9, "the team decides only when the highest line loading reaches this")

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

    validation_episodes: int = setting(32, "episodes of each evaluation during training")
    test_episodes: int = setting(50, "held-out episodes of the final table")

    def __post_init__(self) -> None:
        if self.opponent == "learned" and self.act_above > 0:
            raise ValueError(
                f"act_above is {self.act_above}, but an opponent that learns acts in calm steps too: add --act-above 0"
            )

    @property
    def folder(self) -> Path:
        """Where everything of the run goes."""
        return Path("runs") / (self.name or Path(self.case).name)

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def settings_from(arguments: list[str] | None = None, program: str = "experiments.train") -> TrainSettings:
    """The settings of a command line. Wrong options end the program with a usage message."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description="Trains a team of zones with PPO and compares it with baselines on held-out scenarios.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for option in fields(TrainSettings):
        flag, text = "--" + option.name.replace("_", "-"), option.metadata["help"]
        if isinstance(option.default, bool):
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, type=type(option.default), default=option.default, help=text, metavar="")
    try:
        return TrainSettings(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
