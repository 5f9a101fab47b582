"""Why a grid was lost: which attack, outage, action or trip started it, and who could still have saved it when.

``python -m experiments.attribution --case case14 --defender do-nothing --attacker random --episodes 20``

A cause is necessary if the same episode, played again without it and otherwise as recorded, completes or lasts much
longer: the but-for test of the law, and the counterfactual dependence of Lewis 1973.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from agents.base import Agent
from agents.registry import agent_from
from experiments.attribution_causes import Cause, Kind, causes
from experiments.attribution_chance import Chances, chances
from experiments.attribution_forks import replay
from experiments.attribution_record import Recorded, record
from experiments.evaluation import Starts
from experiments.robustness_play import settings_of
from experiments.settings import TrainSettings
from experiments.tasks import task_of
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.menu import Table
from marlgrid.task.task import Task

MUCH = 12
"""Steps by which an episode must last longer for what was left out to count as necessary."""
MOST_PAIRED = 24
"""Causes, the last ones before the end, that pairs are made of."""


class Tried(NamedTuple):
    """What came of leaving something out."""

    causes: tuple[Cause, ...]
    gained: int
    """Steps that the episode lasts longer (negative: shorter)."""
    completes: bool
    """It reaches the time limit."""

    @property
    def words(self) -> str:
        return " and ".join(cause.words for cause in self.causes)

    def necessary(self, much: int = MUCH) -> bool:
        return self.completes or self.gained >= much


class Attribution(NamedTuple):
    """Why one episode ended as it did."""

    scenario: int
    t_start: int
    seed: int
    lasted: int
    """Steps survived."""
    length: int
    """Steps to the time limit."""
    outcome: str
    loop: str
    """``"open"``: the zones play on as recorded; ``"closed"``: they react."""
    much: int
    tried: tuple[Tried, ...]
    """Every cause left out by itself, the one that gains most first."""
    started: Tried | None
    """The first necessary cause in time, if there is one."""
    unattacked: Tried | None
    """All attacks left out at once; None if there was none."""
    pairs: tuple[Tried, ...]
    """Pairs of causes that are necessary together, where no single one is; the one that gains most first."""
    chances: Chances

    @property
    def verdict(self) -> str:
        """``"attack"``, ``"outage"``, ``"action"``, ``"trip"``, ``"pair"``, or ``"none"``."""
        if self.started is not None:
            return str(self.started.causes[0].kind)
        return "pair" if self.pairs else "none"

    @property
    def words(self) -> str:
        """The finding as sentences."""
        return f"The grid was lost at step {self.lasted} of {self.length} ({self.outcome}). {self.why}"

    @property
    def why(self) -> str:
        """What started it and who had a last chance, as sentences."""
        return f"{_of_start(self)} {_of_chances(self.chances)}"


def attribute(
    task: Task,
    recorded: Recorded,
    agent: Agent | None = None,
    *,
    much: int = MUCH,
    window: int = 24,
    delay: int = 12,
    ready: Table | None = None,
) -> Attribution:
    """Why a recorded episode was lost. ``agent`` None replays the recorded actions, else that team reacts.

    A cause is necessary if the episode without it completes or lasts at least ``much`` steps longer. Last chances are
    looked for in the last ``window`` steps among the actions ``ready`` (None: those of the task); one must put the
    blackout off by ``delay`` steps. Raises ValueError for an episode that was not lost.
    """
    if not recorded.lost:
        raise ValueError("the episode reached its time limit: only a lost one can be attributed")
    found = causes(task, recorded)
    singles = _tried(task, recorded, [(cause,) for cause in found], agent)
    necessary = [tried for tried in singles if tried.necessary(much)]
    pairs = []
    if not necessary:
        pairs = _tried(task, recorded, list(combinations(found[-MOST_PAIRED:], 2)), agent)
    attacks = tuple(cause for cause in found if cause.kind is Kind.ATTACK)
    state = recorded.states
    return Attribution(
        scenario=int(state.scenario[0]),
        t_start=int(state.t_start[0]),
        seed=int(state.seed[0]),
        lasted=recorded.lasted,
        length=recorded.length,
        outcome=recorded.outcome.name,
        loop="open" if agent is None else "closed",
        much=much,
        tried=_ranked(singles),
        started=necessary[0] if necessary else None,
        unattacked=_tried(task, recorded, [attacks], agent)[0] if attacks else None,
        pairs=_ranked([pair for pair in pairs if pair.necessary(much)]),
        chances=chances(task, recorded, window, delay, ready),
    )


def _tried(task: Task, recorded: Recorded, without: Sequence[tuple[Cause, ...]], agent: Agent | None) -> list[Tried]:
    forks = replay(task, recorded, [[cause.removal for cause in left_out] for left_out in without], agent)
    return [
        Tried(left_out, int(lasted) - recorded.lasted, bool(completed))
        for left_out, lasted, completed in zip(without, *forks, strict=True)
    ]


def _ranked(tried: list[Tried]) -> tuple[Tried, ...]:
    return tuple(sorted(tried, key=lambda one: (-one.completes, -one.gained)))


# ---------------------------------------------------------------------------------------------------- in words
def _of_start(found: Attribution) -> str:
    if found.started is not None:
        return f"It started with {found.started.words}: without it {_gain(found.started)}."
    if found.pairs:
        return f"No single cause was necessary, but without {found.pairs[0].words} {_gain(found.pairs[0])}."
    return "It is lost whatever single cause or pair of causes is left out."


def _gain(tried: Tried) -> str:
    return "the episode completes" if tried.completes else f"it lasts {tried.gained} steps longer"


def _of_chances(found: Chances) -> str:
    if found.latest is None:
        return f"In the last {found.window} steps no single action of one zone would have saved it."
    last = found.latest
    outcome = "completes" if last.completes else f"lasts {last.gained} steps longer"
    return f"Last chance: {last.zone} at step {last.step} ({last.action}), then it {outcome}."


def as_json(found: Attribution) -> dict[str, Any]:
    """Plain values, with the words."""

    def tried(one: Tried) -> dict[str, Any]:
        listed = [{"kind": str(cause.kind), "step": cause.step, "words": cause.words} for cause in one.causes]
        return {"causes": listed, "gained": one.gained, "completes": one.completes}

    chance = found.chances
    ends = {name: end._asdict() if (end := getattr(chance, name)) else None for name in ("earliest", "latest")}
    return found._asdict() | {
        "verdict": found.verdict,
        "words": found.words,
        "tried": [tried(one) for one in found.tried],
        "started": None if found.started is None else tried(found.started),
        "unattacked": None if found.unattacked is None else tried(found.unattacked),
        "pairs": [tried(one) for one in found.pairs],
        "chances": chance._asdict() | {"zones": list(chance.zones)} | ends,
    }


# ---------------------------------------------------------------------------------------------------- the command
VERDICTS = (*(str(kind) for kind in Kind), "pair", "none")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    try:
        agent = agent_from(args.defender)
        trained = settings_of(args.defender)
    except ValueError as error:
        sys.exit(str(error))
    settings = replace(trained or TrainSettings(case=args.case), max_steps=args.max_steps)
    task = task_of(settings, args.attacker, args.split)
    ready = DiscreteActions(task.system).table if args.any_action else None
    starts = Starts.of_split(task, args.split, args.episodes, args.max_steps, args.seed)
    episodes = record(task, agent, starts)
    found: list[Attribution] = []
    reacting = agent if args.closed else None
    try:
        for episode in tqdm([one for one in episodes if one.lost], unit="blackout", desc="attributing", disable=None):
            limits = {"much": args.much, "window": args.window, "delay": args.delay}
            found.append(attribute(task, episode, reacting, ready=ready, **limits))
            tqdm.write(f"scenario {found[-1].scenario}: {found[-1].words}")
    except KeyboardInterrupt:
        print("stopped: the table is over the blackouts attributed so far", flush=True)
    print(as_table(found, len(episodes)))
    name = f"{Path(args.case).name}-{Path(args.defender).name}-{args.attacker}-{'closed' if args.closed else 'open'}"
    path = Path("runs") / "attribution" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([as_json(one) for one in found], indent=1) + "\n")
    print(f"every cause and its counterfactual: {path}")
    return 0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.attribution",
        description="Says of every lost episode what started it and who could have saved it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--case", default="case14", help="built-in case, Grid2Op environment name or folder")
    parser.add_argument("--defender", default="do-nothing", help="a team, as agents.registry.agent_from takes it")
    parser.add_argument("--attacker", default="random", help="none, or the name of an attacker")
    parser.add_argument("--episodes", type=int, default=20, help="to play; the lost ones are attributed")
    parser.add_argument("--max-steps", type=int, default=288, help="length of an episode")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="scenarios")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of days and the draws of attacks")
    parser.add_argument("--closed", action="store_true", help="the team reacts to what is left out")
    parser.add_argument("--any-action", action="store_true", help="last chances among all actions of the default menu")
    parser.add_argument("--much", type=int, default=MUCH, help="steps gained from which on a cause is necessary")
    parser.add_argument("--window", type=int, default=24, help="last steps in which chances are looked for")
    parser.add_argument("--delay", type=int, default=12, help="steps by which a chance must put the blackout off")
    return parser.parse_args(argv)


def as_table(found: Sequence[Attribution], played: int) -> str:
    """Over the lost episodes of a study: what started them, and whether anybody had a last chance."""
    lines = [f"{len(found)} blackouts in {played} episodes", f"{'started by':<12}{'episodes':>9}{'share':>8}"]
    if not found:
        return lines[0]
    for verdict in VERDICTS:
        n = sum(one.verdict == verdict for one in found)
        lines.append(f"{verdict:<12}{n:>9}{n / len(found):>8.0%}")
    attacked = [one.unattacked for one in found if one.unattacked is not None]
    anyway = sum(not one.completes for one in attacked)
    latest = [one.lasted - one.chances.latest.step for one in found if one.chances.latest is not None]
    lines.append(f"of {len(attacked)} with attacks, lost without them too: {anyway}")
    chance = f", the last one {np.median(latest):.0f} steps before the end in the median" if latest else ""
    lines.append(f"one zone's single action would have put off: {len(latest)}{chance}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
