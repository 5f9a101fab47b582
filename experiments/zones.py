"""Studies of zones: ``python -m experiments.zones --study number`` (or partition, observability, tie-lines, credit,
failure, delay, noise, communication, all).

Each setting's team is trained by ``experiments.train_batch`` for the same number of decisions and plays the same
held-out days and attacks. Finished trainings and evaluations are kept in ``runs/zones/<name>/``: a study that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.base import Agent
from agents.learned import Learned
from agents.registry import agent_from
from experiments.evaluation import Starts, evaluate
from experiments.settings import TrainSettings
from experiments.tasks import OBSERVED, task_of
from experiments.zones_report import Row, as_table, draw, row_of, write
from experiments.zones_studies import STUDIES, Setting, is_reference
from marlgrid.model.datasets.case import load_case
from marlgrid.model.time_series import TimeSeries
from marlgrid.task.features import VectorObservation
from marlgrid.task.task import Task

TRAINED = "trained"
MEASURES = ("survival", "unserved_mwh", "illegal")
"""Of ``Results``, kept by episode."""


@dataclass(frozen=True)
class Budget:
    """How much is trained and played."""

    team: str
    seeds: int
    episodes: int
    attackers: tuple[str, ...]
    folder: Path


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    base = TrainSettings(
        case=args.case, zones=args.zones, iterations=args.iterations, scenarios=args.scenarios,
        max_steps=args.max_steps, batch=args.batch,
    )  # fmt: skip
    name = args.name or f"{Path(args.case).name}-{Path(args.team).name}"
    budget = Budget(args.team, args.seeds, args.episodes, tuple(args.attackers.split(",")), Path("runs/zones") / name)
    try:
        for study in STUDIES if "all" in args.study else args.study:
            run(study, base, budget, args.only)
    except KeyboardInterrupt:
        print(f"\nstopped: what was finished is kept in {budget.folder}/, the same command goes on", flush=True)
        return 130
    return 0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.zones",
        description="Compares teams of zones: one table and one figure per study.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--study", nargs="+", choices=[*STUDIES, "all"], default=["number"], help="what is compared")
    add("--only", nargs="+", default=None, help="labels of the settings to compare with the reference; default: all")
    add("--case", default="case14", help="built-in case, Grid2Op environment name or folder")
    add("--zones", type=int, default=3, help="number of zones, where it is not what is compared")
    add("--team", default=TRAINED, help=f"{TRAINED}, or a team as agents.registry.agent_from takes it")
    add("--iterations", type=int, default=25, help="of training, for each setting")
    add("--batch", type=int, default=4000, help="decisions per iteration")
    add("--scenarios", type=int, default=100, help="training scenarios (weeks) to draw from")
    add("--seeds", type=int, default=1, help="trainings of each setting; survival is their mean")
    add("--episodes", type=int, default=100, help="held-out episodes")
    add("--max-steps", type=int, default=288, help="steps of an episode")
    add("--attackers", default="none,weighted", help="that the teams are evaluated against, with commas")
    add("--name", default="", help="folder under runs/zones/; empty: case and team")
    add("--quick", action="store_true", help="a few steps of everything, to see that it works")
    args = parser.parse_args(argv)
    if args.zones < 1:
        parser.error(f"--zones is {args.zones}: give a number of at least 1")
    if args.quick:
        args.iterations, args.batch, args.scenarios, args.episodes, args.max_steps = 2, 300, 8, 8, 48
        args.name = args.name or f"{Path(args.case).name}-{Path(args.team).name}-quick"
    return args


# ---------------------------------------------------------------------------------------------------- one study
def run(name: str, base: TrainSettings, budget: Budget, only: Sequence[str] | None = None) -> list[Row]:
    """Trains and evaluates what is missing of a study; prints its table, writes it as CSV and draws its figure."""
    study = STUDIES[name]
    settings = chosen(study.settings(base), base, only)
    rows: list[Row] = []
    with tqdm(total=len(settings) * budget.seeds, unit="team", desc=name, disable=None) as bar:
        found = {}
        for setting in settings:
            played = []
            for seed in range(budget.seeds):
                bar.set_postfix_str(setting.label)
                played.append(measured(name, _seeded(setting, seed), budget))
                bar.update()
            found[setting.label] = played
    idle = [measured("baseline", Setting("do-nothing", base), replace(budget, team="do-nothing"))]
    reference = next(found[setting.label] for setting in settings if is_reference(setting, base))
    for attacker in budget.attackers:
        rows += [row_of(label, attacker, played, reference) for label, played in found.items()]
        rows.append(row_of("do-nothing", attacker, idle, reference))
    table = as_table(study, rows, budget.episodes, budget.seeds)
    print(table, flush=True)
    write(rows, budget.folder / f"{name}.csv")
    draw(study, rows, budget.folder / f"{name}.png")
    print(f"{budget.folder}/{name}.csv and {name}.png", flush=True)
    return rows


def chosen(settings: list[Setting], base: TrainSettings, only: Sequence[str] | None) -> list[Setting]:
    """Those whose labels are asked for, and the reference. Ends the program on a label that there is not."""
    if only is None:
        return settings
    labels = [setting.label for setting in settings]
    if unknown := sorted(set(only) - set(labels)):
        sys.exit(f"there is no setting {', '.join(map(repr, unknown))}; choose from {labels}")
    return [setting for setting in settings if setting.label in only or is_reference(setting, base)]


def _seeded(setting: Setting, seed: int) -> Setting:
    return setting._replace(train=replace(setting.train, seed=seed))


def measured(study: str, setting: Setting, budget: Budget) -> dict[str, Any]:
    """Attacker -> measure -> one value per episode, of one training of a setting; read from the file if it is there."""
    label = setting.label.replace(" ", "-").replace("%", "").replace(",", "").replace("'", "")
    path = budget.folder / study / f"{label}-seed-{setting.train.seed}.json"
    played = {"team": budget.team, "episodes": budget.episodes}
    kept = json.loads(path.read_text()) if path.is_file() else {}
    same = kept and kept["played"] == played and TrainSettings.of(kept["train"]) == setting.train
    found = kept["found"] if same else {}
    for attacker in budget.attackers:
        if attacker not in found:
            found[attacker] = _evaluated(setting, budget, attacker)
            _save(path, {"train": asdict(setting.train), "played": played, "found": found})
    return found


def _evaluated(setting: Setting, budget: Budget, attacker: str) -> dict[str, list[float]]:
    team = setting.impair(team_of(setting.train, budget))
    task = sensed(task_of(setting.train, attacker, "test"), setting)
    starts = Starts.of_split(task, "test", budget.episodes, setting.train.max_steps)
    results = evaluate(task, team, starts)
    return {name: np.asarray(getattr(results, name), dtype=float).tolist() for name in MEASURES}


def sensed(task: Task, setting: Setting) -> Task:
    """The task on time series that all tasks of a case share, with the noise of the setting in the observations."""
    series = shared_series(setting.train.case)
    observation = VectorObservation(
        task.system, series, setting.train.observation, attributes=OBSERVED, noise=setting.noise
    )
    return replace(task, series=series, observation=observation)


@lru_cache(maxsize=2)
def shared_series(case: str) -> TimeSeries:
    """A scenario costs more to generate than to play: generated for one task, it serves all."""
    return load_case(case).series


def team_of(settings: TrainSettings, budget: Budget) -> Agent:
    """The team that was asked for: trained now, read from its checkpoint, or by name."""
    if budget.team != TRAINED:
        return agent_from(budget.team)
    zones = settings.partition if settings.partition in ("substation", "voltage") else settings.zones
    folder = budget.folder / "teams" / f"{settings.partition}-{zones}-{settings.observation}-{settings.tie_lines}"
    gain = "" if settings.reward == "team" else f"-{settings.reward}"
    folder = folder.with_name(f"{folder.name}{gain}-seed-{settings.seed}")
    path = folder / "settings.json"
    if not (path.is_file() and TrainSettings.read(path) == settings):
        train(settings, folder / "checkpoint")
        settings.save(path)
    return Learned.load(folder / "checkpoint")


def train(settings: TrainSettings, checkpoint: Path) -> None:
    """Trains a team from scratch and keeps its policies."""
    from experiments.train_batch import BatchTeam  # torch is for those who train
    from marlgrid.rllib.policies import save_policies

    learner = BatchTeam(settings)
    for _ in tqdm(range(settings.iterations), unit="it", desc="training", leave=False, disable=None):
        learner.iterate()
    save_policies(checkpoint, learner.networks.states())
    learner.close()


def _save(path: Path, value: Any) -> None:
    """As a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
