"""Adversarial training by alternating best responses: ``python -m experiments.adversarial --generations 4``.

Generation 0 are defenders trained against the scripted attackers. In each further generation an attacker learns against
the frozen defenders, then the defenders learn against a mixture of the scripted and all learned attackers so far.
Everything goes to ``runs/<name>/``: settings.json, pool/{defenders,attackers}/NNN (plain checkpoints), payoffs.csv
(survival of each team against each attacker), generations.csv, phases/ (the logs of each training). Ctrl-C ends it
after a checkpoint; ``--resume`` goes on as if it had never stopped, also after a crash.

References: Lanctot et al. 2017 (best responses to mixtures of a growing pool), Vinyals et al. 2019 (prioritised
sampling by win rate), Pinto et al. 2017 (an adversary trained in turns with the protagonist).
"""

from __future__ import annotations

import csv
import os
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

from experiments.learning import CHECK_SECONDS, LearningLog, StopRequest, Validation, resumed, save
from experiments.pool import ATTACKERS, DEFENDERS, RULES, Payoffs, Pool, mixture, weights
from experiments.settings import TrainSettings, parsed, setting
from experiments.train_batch import BatchTeam


@dataclass(frozen=True)
class AdversarialSettings(TrainSettings):
    """A run of adversarial training; ``opponent`` are the scripted attackers, ``iterations`` those of generation 0."""

    generations: int = setting(4, "best responses of either side after generation 0")
    iterations: int = setting(60, "PPO iterations of the defenders of generation 0")
    attacker_iterations: int = setting(25, "PPO iterations of each attacker")
    attacker_batch: int = setting(2000, "decisions per iteration of an attacker, who decides once or twice in a day")
    defender_iterations: int = setting(40, "PPO iterations of the defenders in each later generation")
    defender_imitate: int = setting(0, "of these the first, in which they learn what a greedy search would do")
    opponent: str = setting("random+weighted", "scripted attackers of the pool, joined by +")
    attacked_share: float = setting(0.75, "part of the defenders' episodes in which an attacker is there")
    sampling: str = setting("prioritised", "how attackers of the pool are met: uniform, or prioritised by win rate")
    against: str = setting("latest", "whom an attacker learns against: the latest defenders, or the whole pool")
    scratch: bool = setting(False, "each attacker begins anew, instead of with the networks of the one before")
    best_response: bool = setting(False, "at the end one more attacker learns against the last defenders")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (("sampling", RULES), ("against", ("latest", "pool"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, choose from {allowed}")
        if self.minutes or self.learner != "zones" or self.opponent == "learned":
            raise ValueError(
                "minutes, learner and a learned opponent are not for this program: it trains both in turns"
            )

    @property
    def folder(self) -> Path:
        return Path("runs") / (self.name or f"{Path(self.case).name}-adversarial")


def main(arguments: list[str] | None = None) -> int:
    settings = parsed(
        AdversarialSettings, arguments, "experiments.adversarial", "Trains defenders and attackers against each other."
    )
    started = time.monotonic()
    if settings.resume:
        settings = resumed(settings, "pool", ("generations", "best_response"))
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.save(settings.folder / "settings.json")
    done = run(settings)
    print("done" if done else "stopped; --resume goes on", f"after {(time.monotonic() - started) / 60:.1f} minutes")
    return 0


def run(settings: AdversarialSettings) -> bool:
    """All generations that are not there yet; False if Ctrl-C ended it early."""
    pool, payoffs = Pool(settings.folder / "pool"), Payoffs(settings.folder / "payoffs.csv", plain(settings))
    pool.folder.mkdir(exist_ok=True)
    phases = [(DEFENDERS, 0)] + [
        (side, g) for g in range(1, settings.generations + 1) for side in (ATTACKERS, DEFENDERS)
    ]
    if settings.best_response:
        phases.append((ATTACKERS, settings.generations + 1))
    total = sum(length(settings, side, number) for side, number in phases)
    with StopRequest() as stop, tqdm(total=total, unit="it") as bar:
        for side, number in phases:
            if not pool.has(side, number) and not train(settings, pool, payoffs, side, number, stop, bar):
                return False
            bar.update(sum(length(settings, *p) for p in phases[: phases.index((side, number)) + 1]) - bar.n)
            write_generations(settings, pool, payoffs)
    return True


def length(settings: AdversarialSettings, side: str, number: int) -> int:
    """Iterations of a phase."""
    if number == 0:
        return settings.iterations
    return settings.attacker_iterations if side == ATTACKERS else settings.defender_iterations


def train(
    settings: AdversarialSettings, pool: Pool, payoffs: Payoffs, side: str, number: int, stop: StopRequest, bar: tqdm
) -> bool:
    """One phase from where it stands to the pool; False if it was asked to stop before its end."""
    phase = phase_settings(settings, pool, payoffs, side, number)
    phase.folder.mkdir(parents=True, exist_ok=True)
    phase = replace(phase, resume=(phase.folder / "checkpoint").is_dir())
    team, begun = BatchTeam(phase), bar.n
    if not phase.resume:
        phase.save(phase.folder / "settings.json")
    log, check = LearningLog(phase.folder / "learning.csv", keep=team.iteration), Validation(phase)
    began = checked = time.monotonic()
    earlier, last = log.seconds, team.iteration >= phase.iterations
    while not last:
        row = team.iterate() | {"seconds": earlier + time.monotonic() - began}
        last = stop.asked or team.iteration >= phase.iterations
        if last or time.monotonic() - checked >= CHECK_SECONDS:
            row |= check(team.team())
            save(team, phase.folder / "checkpoint")
            checked = time.monotonic()
        log.add(row)
        bar.update(begun + team.iteration - bar.n)
        bar.set_postfix_str(f"{side} {number}: {log.headline()}")
    log.close()
    finished = team.iteration >= phase.iterations
    if finished:
        pool.add(side, number, team.networks.states())
    team.close()
    return finished


def phase_settings(
    settings: AdversarialSettings, pool: Pool, payoffs: Payoffs, side: str, number: int
) -> TrainSettings:
    """What is trained in a phase: against whom, from which networks on, with which seed."""
    path = f"{settings.folder.relative_to('runs')}/phases/{number:03d}-{side}"
    common = replace(
        plain(settings),
        name=path,
        imitate=(0 if side == ATTACKERS else settings.defender_imitate) if number else settings.imitate,
        iterations=length(settings, side, number),
        seed=settings.seed + 1000 * number + (500 if side == ATTACKERS else 0),
    )
    scripted = settings.opponent.split("+")
    if number == 0:
        return common
    latest = str(pool.path(DEFENDERS, number - 1))
    if side == ATTACKERS:
        teams = pool.members(DEFENDERS, number) if settings.against == "pool" else [latest]
        before = str(pool.path(ATTACKERS, number - 1)) if pool.has(ATTACKERS, number - 1) else ""
        wins = [payoffs.survival(team, before or scripted[0]) for team in teams] if len(teams) > 1 else [1.0]
        shares = weights(settings.sampling, wins)
        start = "" if settings.scratch else before
        return replace(
            common,
            learner="opponent",
            defenders=mixture(teams, shares),
            start_from=start,
            batch=settings.attacker_batch,
        )
    attackers = scripted + pool.members(ATTACKERS, number + 1)
    wins = [1.0 - payoffs.survival(latest, attacker) for attacker in attackers]
    return replace(common, opponent=mixture(attackers, weights(settings.sampling, wins)), start_from=latest)


def plain(settings: AdversarialSettings) -> TrainSettings:
    """The part that each phase has in common."""
    return TrainSettings(**{field.name: getattr(settings, field.name) for field in fields(TrainSettings)})


def write_generations(settings: AdversarialSettings, pool: Pool, payoffs: Payoffs) -> None:
    """``generations.csv``: survival of each generation's defenders without attack and against each attacker."""
    scripted = settings.opponent.split("+")
    with (settings.folder / "generations.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        learned = pool.members(ATTACKERS, settings.generations + 2)
        writer.writerow(("defenders", "none", *scripted, *(f"attackers {Path(path).name}" for path in learned)))
        for team in pool.members(DEFENDERS, settings.generations + 1):
            survivals = [payoffs.survival(team, attacker) for attacker in ("none", *scripted, *learned)]
            writer.writerow((Path(team).name, *(f"{value:.4f}" for value in survivals)))


if __name__ == "__main__":
    sys.exit(main())
