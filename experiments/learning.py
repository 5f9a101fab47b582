"""What every training program does around its learner: iterations, evaluations, checkpoints, the log, Ctrl-C."""

from __future__ import annotations

import csv
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from tensorboardX import SummaryWriter
from tqdm import tqdm

from agents.attackers import LearnedOpponent
from agents.learned import Learned
from agents.mixed import team_from
from experiments.bootstrap import mean_interval
from experiments.evaluation import Starts, evaluate
from experiments.report import report
from experiments.settings import Settings, TrainSettings
from experiments.tasks import task_of
from marlgrid.task.features import OPPONENT

CHECK_SECONDS = 20.0
"""Between two checkpoints, each with an evaluation."""
COLUMNS = (
    "iteration", "seconds", "decisions", "survival", "illegal_total", "overload_total", "attacks_total",
    "unserved_mwh_total", "episode_return_mean", "entropy", "level", "multiplier", "cost",
    "validation", "validation_low", "validation_high",
)  # fmt: skip


class Learner(Protocol):
    """A team that learns."""

    def iterate(self) -> dict[str, float]:
        """Samples and learns once; gives some of ``COLUMNS``, ``iteration`` and ``decisions`` among them."""

    def team(self) -> Learned:
        """The zones as they play now."""

    def save(self, folder: Path) -> None:
        """Writes a checkpoint to a new folder."""

    def close(self) -> None:
        """Ends whatever runs for it."""


def run(settings: TrainSettings, make: Callable[[TrainSettings], Learner]) -> int:
    """Trains, then compares with baselines. ``make`` starts the learner, from the checkpoint if ``settings.resume``."""
    started = time.monotonic()
    if settings.resume:
        settings = resumed(settings)
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.save(settings.folder / "settings.json")
    print(f"{settings.case}: training for {_duration(settings)}; results go to {settings.folder}/", flush=True)
    train(settings, make)
    report(settings)
    print(f"done in {(time.monotonic() - started) / 60:.1f} minutes; see {settings.folder}/")
    return 0


def resumed(
    settings: Settings, made: str = "checkpoint", longer: Sequence[str] = ("minutes", "iterations")
) -> Settings:
    """The settings of the run to be continued, which has ``made``; only those that say how long are the given ones."""
    path = settings.folder / "settings.json"
    if not (settings.folder / made).is_dir() or not path.is_file():
        sys.exit(f"nothing to resume in {settings.folder}/ (no {made} and settings.json): run without --resume")
    asked = {option: getattr(settings, option) for option in (*longer, "name")}
    return replace(type(settings).read(path), resume=True, **asked)


def train(settings: TrainSettings, make: Callable[[TrainSettings], Learner]) -> None:
    """Trains for the iterations or the minutes asked for, or until Ctrl-C."""
    stop = StopRequest()
    learner = make(settings)
    check = Validation(settings)
    log = LearningLog(settings.folder / "learning.csv", keep=math.inf if settings.resume else 0)
    seconds = 60.0 * settings.minutes
    with stop, tqdm(total=round(seconds) or settings.iterations, unit="s" if seconds else "it") as bar:
        began = checked = time.monotonic()
        for iteration in range(1, sys.maxsize):
            row = learner.iterate()
            row |= {"seconds": log.seconds + time.monotonic() - began}
            trained = time.monotonic() - began
            last = stop.asked or (trained >= seconds if seconds else iteration >= settings.iterations)
            if last or iteration == 1 or time.monotonic() - checked >= CHECK_SECONDS:
                row |= check(learner.team())
                save(learner, settings.folder / "checkpoint")
                checked = time.monotonic()
            log.add(row)
            bar.update(min(round(trained), bar.total) - bar.n if seconds else 1)
            bar.set_postfix_str(log.headline())
            if last:
                break
    if stop.asked:
        print("training stopped; the last checkpoint is kept (--resume continues it)", flush=True)
    log.close()
    learner.close()


def save(learner: Learner, path: Path) -> None:
    """Replaces the checkpoint as a whole: whatever interrupts this, a complete one is there."""
    new, old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    learner.save(new)
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


class Validation:
    """Survival on validation scenarios: of the team as it stands, without attacks; or of the frozen team against the
    opponent as it stands."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.task = task_of(settings, "none", "validation")
        self.starts = Starts.of_split(self.task, "validation", settings.validation_episodes, settings.max_steps)

    def __call__(self, trained: Learned) -> dict[str, float]:
        task, team = self.task, trained
        if self.settings.learner == "opponent":
            attacker = LearnedOpponent(trained.policies[OPPONENT].network)
            task, team = task_of(self.settings, attacker, "validation"), team_from(self.settings.defenders)
        survival = evaluate(task, team, self.starts).survival
        low, high = mean_interval(survival)
        return {"validation": float(survival.mean()), "validation_low": low, "validation_high": high}


class LearningLog:
    """``learning.csv``, written row by row so that nothing is lost, and the same for TensorBoard in ``tensorboard/``.

    With ``keep`` it goes on after the rows up to the iteration ``keep``: later ones will be made again.
    """

    def __init__(self, path: Path, keep: float = 0) -> None:
        self.path, self.last = path, dict.fromkeys(COLUMNS, float("nan"))
        rows: list[dict[str, str]] = []
        if keep and path.exists():
            with path.open() as file:
                rows = [row for row in csv.DictReader(file) if float(row["iteration"]) <= keep]
        self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
        self._write(COLUMNS, "w")
        for row in rows:
            self._write([row.get(name, "") for name in COLUMNS], "a")
        self._board = SummaryWriter(
            str(path.parent / "tensorboard"), purge_step=int(float(rows[-1]["iteration"])) + 1 if rows else 0
        )

    def add(self, row: dict[str, float]) -> None:
        self.last |= row
        self._write([row.get(name, "") for name in COLUMNS], "a")
        for name, value in row.items():
            if math.isfinite(value):
                self._board.add_scalar(name, value, int(row["iteration"]))
        self._board.flush()

    def headline(self) -> str:
        """For the progress bar."""
        last = self.last
        return (
            f"survival {last['survival']:.0%}, validation {last['validation']:.0%}, "
            f"{last['decisions'] / 1000:.0f}k decisions"
        )

    def close(self) -> None:
        self._board.close()

    def _write(self, row: Any, mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            csv.writer(file).writerow(row)


class StopRequest:
    """Inside of the context the first Ctrl-C only sets ``asked``."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopRequest:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: int | FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _duration(settings: TrainSettings) -> str:
    return f"{settings.minutes:g} minutes" if settings.minutes else f"{settings.iterations} iterations"
