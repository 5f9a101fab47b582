"""Everything behind docs/results.md, one command after the other: ``python -m experiments.results --case case14``.

Three teams learn for the same number of decisions against scripted attackers (independent PPO, MAPPO) or against these
and a growing pool of learned ones (adversarially trained MAPPO); then an attacker learns against each of them; then all
play each other on held-out days. What is done already is not done again, so the same command goes on after Ctrl-C.
``--plan imitation`` lets the zones split busbars too, and learn from a search before they learn by trial; the default
``trial`` does neither. ``--quick`` does the same with a fifth of the training and of the days: it shows that all works,
not who is better.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.bootstrap import mean_interval
from experiments.robustness_table import BEST_RESPONSE, pick, summary
from experiments.strata import ALL, CALM, HARD

DEFENDERS = ("do-nothing", "reconnect", "expert", "greedy", "IPPO", "MAPPO", "adversarial")
ATTACKERS = ("none", "random", "weighted", "geometric", "worst-case", "learned")
SCRIPTED = "random+weighted+geometric"
"""Attackers of the training."""
BUDGET = "day-1"
INTERRUPTED = 130


class Plan(NamedTuple):
    """How long things take."""

    iterations: int
    """Of each team, those of later generations included."""
    generations: int
    later: int
    """Iterations of the defenders in each generation after the first."""
    attacker_iterations: int
    episodes: int
    actions: str = "gentle"
    imitate: int = 0
    """Of the iterations, those of imitation, later generations included."""
    later_imitate: int = 0
    """Of those of each later generation."""


PLANS = {
    "trial": Plan(iterations=150, generations=2, later=45, attacker_iterations=20, episodes=100),
    "imitation": Plan(
        iterations=40, generations=2, later=10, attacker_iterations=12, episodes=100,
        actions="splits", imitate=16, later_imitate=4,
    ),
}  # fmt: skip


def quick(plan: Plan) -> Plan:
    """A fifth of the training and of the days, in one generation."""
    counts = {name: -(-value // 5) for name, value in plan._asdict().items() if isinstance(value, int)}
    return plan._replace(**counts | {"generations": 1})


class Step(NamedTuple):
    """A command, and the file or folder that is there once it is done."""

    module: str
    arguments: list[str]
    made: Path

    def __str__(self) -> str:
        return shlex.join(["python", "-m", self.module, *self.arguments])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.results", description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="case14", help="built-in case, Grid2Op environment name or folder")
    parser.add_argument("--plan", default="trial", choices=tuple(PLANS), help="how the teams learn")
    parser.add_argument("--quick", action="store_true", help="a fifth of the training and of the days")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the matrix")
    parser.add_argument("--name", default="", help="folder under runs/; empty: results-<case>")
    asked = parser.parse_args(arguments)
    kind = ("" if asked.plan == "trial" else f"-{asked.plan}") + ("-quick" if asked.quick else "")
    name = asked.name or f"results-{Path(asked.case).name}{kind}"
    plan = quick(PLANS[asked.plan]) if asked.quick else PLANS[asked.plan]
    for step in steps(asked.case, plan, name, asked.seed, asked.jobs):
        if step.made.exists():
            print(f"done already: {step}", flush=True)
            continue
        print(f"\n{step}", flush=True)
        code = _run(resumable(step))
        if code or not step.made.exists():
            print(f"stopped at: {step}\nthe same command goes on from there", file=sys.stderr)
            return code or INTERRUPTED
    folder = Path("runs") / name
    text = "\n\n".join(tables(pd.read_parquet(folder / "matrix" / "episodes.parquet")))
    (folder / "results.md").write_text(text + "\n")
    print(f"\n{text}\n\nwritten to {folder}/results.md; {folder}/matrix/report.html replays blackouts")
    return 0


def steps(case: str, plan: Plan, name: str, seed: int = 0, jobs: int = 2) -> list[Step]:
    """The commands in their order."""
    found = []
    for team, algorithm in (("IPPO", "ippo"), ("MAPPO", "mappo"), ("adversarial", "mappo")):
        generations = plan.generations if team == "adversarial" else 0
        options = {
            "case": case, "name": f"{name}/{team}", "algorithm": algorithm, "seed": seed,
            "opponent": SCRIPTED, "attacked-share": 0.4, "attack-budget": BUDGET, "opponent-reward": "blackout",
            "iterations": plan.iterations - generations * plan.later, "generations": generations,
            "defender-iterations": plan.later, "attacker-iterations": plan.attacker_iterations,
            "actions": plan.actions, "imitate": plan.imitate - generations * plan.later_imitate,
            "defender-imitate": plan.later_imitate,
        }  # fmt: skip
        arguments = [text for option, value in options.items() for text in (f"--{option}", str(value))]
        made = pool(name, team) / "attackers" / f"{generations + 1:03d}"
        found.append(Step("experiments.adversarial", [*arguments, "--best-response"], made))
    return [*found, _matrix(case, plan, name, jobs)]


def pool(name: str, team: str) -> Path:
    """Where a team's defenders and attackers are."""
    return Path("runs") / name / team / "pool"


def _matrix(case: str, plan: Plan, name: str, jobs: int) -> Step:
    last = {"IPPO": 0, "MAPPO": 0, "adversarial": plan.generations}
    teams = {team: pool(name, team) / "defenders" / f"{number:03d}" for team, number in last.items()}
    responses = {team: pool(name, team) / "attackers" / f"{number + 1:03d}" for team, number in last.items()}
    arguments = [
        "--case", case, "--name", f"{name}/matrix", "--episodes", str(plan.episodes), "--jobs", str(jobs),
        "--budgets", BUDGET,
        "--defenders", *(f"{team}:{teams[team]}" if team in teams else team for team in DEFENDERS),
        "--attackers", *ATTACKERS[:-1], f"learned:{responses['MAPPO']}",
        "--best-response", *(f"{team}={path}" for team, path in responses.items()),
    ]  # fmt: skip
    return Step("experiments.robustness", arguments, Path("runs") / name / "matrix" / "report.html")


def resumable(step: Step) -> list[str]:
    """The command, which goes on where an earlier one was stopped."""
    folder = Path("runs") / step.arguments[step.arguments.index("--name") + 1]
    begun = step.module == "experiments.adversarial" and (folder / "pool").is_dir()
    return [sys.executable, "-m", step.module, *step.arguments, *(["--resume"] if begun else [])]


def _run(command: list[str]) -> int:
    """Waits for a command; Ctrl-C reaches it too, and it is given the time to save what it has."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


# ------------------------------------------------------------------------------------------------ what came out
def tables(episodes: pd.DataFrame) -> Iterator[str]:
    """In Markdown: survival of everyone against everyone, by stratum, and what became of the expectations."""
    table = summary(episodes)
    survival = {stratum: pick(table, "survival", stratum) for stratum in (ALL, CALM, HARD)}
    defenders = list(dict.fromkeys(episodes.defender))
    attackers = [attacker for attacker in dict.fromkeys(episodes.attacker) if attacker != BEST_RESPONSE]
    yield "Survival in % of the day (95 % bootstrap interval of the mean):\n\n" + _grid(
        defenders, [*attackers, BEST_RESPONSE], lambda row: f"{row['mean']:.0%} ({row.low:.0%}-{row.high:.0%})",
        survival[ALL],
    )  # fmt: skip
    for stratum in (CALM, HARD):
        yield f"Days that are {stratum} (mean survival):\n\n" + _grid(
            defenders, [*attackers, BEST_RESPONSE], lambda row: f"{row['mean']:.0%}", survival[stratum]
        )
    rows = ["| expected | found | holds |", "|---|---|---|"]
    yield "\n".join([*rows, *(f"| {' | '.join(row)} |" for row in expectations(episodes))])


def _grid(defenders: Sequence[str], attackers: Sequence[str], cell: object, chosen: pd.DataFrame) -> str:
    """Defenders by attackers; what was not played is a dash."""
    known = {(attacker, defender): row for (_, attacker, defender), row in chosen.iterrows()}
    lines = [f"| defender | {' | '.join(attackers)} |", "|---" * (len(attackers) + 1) + "|"]
    for defender in defenders:
        told = [cell(known[a, defender]) if (a, defender) in known else "-" for a in attackers]
        lines.append(f"| {defender} | {' | '.join(told)} |")
    return "\n".join(lines)


def expectations(episodes: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(expected, found, holds) of the studies' three hypotheses, from differences episode by episode."""
    survival = {
        (attacker, defender): part.sort_values("episode").survival.to_numpy()
        for (attacker, defender), part in episodes.groupby(["attacker", "defender"])
    }
    plain, hardened = "MAPPO", "adversarial"
    gain = survival["none", plain] - survival["none", "do-nothing"]
    hurt = survival["random", plain] - survival[BEST_RESPONSE, plain]
    back = survival[BEST_RESPONSE, hardened] - survival[BEST_RESPONSE, plain]
    same = survival["learned", hardened] - survival["learned", plain]
    price = survival["none", plain] - survival["none", hardened]
    share = recovered(hurt, back)
    return [
        ("MAPPO survives at least 40 points more than doing nothing, without attacks", _points(gain),
         _holds(gain.mean() >= 0.40)),
        ("the attacker that learned against MAPPO takes more from it than the random one", _points(hurt),
         _holds(mean_interval(hurt)[0] > 0)),
        ("adversarial training wins back at least half of that, each against its own best response",
         f"{_points(back)}: {share[0]:.0%} of it ({share[1]:.0%} to {share[2]:.0%})", _holds(share[0] >= 0.5)),
        ("the same, against the attacker that learned against MAPPO", _points(same),
         _holds(same.mean() >= 0.5 * hurt.mean())),
        ("and costs at most two points without attacks", _points(price), _holds(price.mean() <= 0.02)),
    ]  # fmt: skip


def recovered(hurt: np.ndarray, back: np.ndarray, n_resample: int = 10_000, seed: int = 0) -> tuple[float, ...]:
    """``back`` as a part of ``hurt``, both (n_episode,): ratio of the means, and its 95 % bootstrap interval."""
    rows = np.random.default_rng(seed).integers(len(hurt), size=(n_resample, len(hurt)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = back[rows].mean(axis=1) / hurt[rows].mean(axis=1)
        ratio = back.mean() / hurt.mean()
    return float(ratio), *map(float, np.nanquantile(ratios, [0.025, 0.975]))


def _points(difference: np.ndarray) -> str:
    low, high = mean_interval(difference)
    return f"{100 * difference.mean():+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def _holds(fact: bool) -> str:
    return "yes" if fact else "no"


if __name__ == "__main__":
    sys.exit(main())
