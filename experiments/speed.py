"""How fast marlgrid is, beside its relatives on the same data: ``python -m experiments.speed``.

Both sides of a comparison take turns (A B A B ...) in one process on one core, so that a busy machine hurts both alike.
Rates are per CPU second: medians over the turns, with their spread; the ratio is the median over neighbouring turns.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tqdm import tqdm

from experiments.contenders import Batch, Contender, CppEnv, Grid2OpGym, Grid2OpWhatIf, Parallel, WhatIf
from experiments.fresh_process import COLD_SCRIPT, MEMORY_SCRIPT, START_SCRIPT, fresh_process
from experiments.parts import Parts, parts_of_a_step

CASES = ("l2rpn_case14_sandbox", "l2rpn_icaps_2021", "l2rpn_wcci_2022_dev")
ZONES = {14: 3, 36: 3, 118: 8}
STEP_BUDGET = {14: 10.0, 36: 8.0, 118: 6.0}
"""Substations -> steps per second over Grid2Op's."""
STUDIES = ("step", "parts", "batch", "zones", "what-if", "start", "memory", "growth", "sampling", "training")
ON_REQUEST = ("growth", "sampling", "training")
"""Studies of large grids and of RLlib, which take minutes: made when named."""
DECIDING = {
    "at every step": {"act_above": 0.0},
    "at every step, the opponent too": {"act_above": 0.0, "opponent": "learned"},
    "above a loading of 0.9": {"act_above": 0.9},
}
"""Who is asked when: three zones; and an opponent that is an agent; and the zones as ``experiments.train`` has them."""
MANY = 128
"""Episodes side by side in a sampling process, four times as many as ``experiments.train`` has by default."""


@dataclass(frozen=True)
class Race:
    """Two contenders, turn by turn."""

    what: str
    first: str
    second: str
    first_rates: tuple[float, ...]
    """Per second, one per turn."""
    second_rates: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times faster the first is."""
        return median(a / b for a, b in zip(self.first_rates, self.second_rates, strict=True))


@dataclass(frozen=True)
class Budget:
    """A promise, and what was measured."""

    what: str
    budget: float
    measured: float
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        return self.measured >= self.budget if self.at_least else self.measured <= self.budget

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return (
            f"budget={sign}{self.budget:g}{self.unit} measured={self.measured:.3g}{self.unit} "
            f"met={'yes' if self.met else 'no'}  {self.what}"
        )


@dataclass(frozen=True)
class Measured:
    """What no promise was made of."""

    what: str
    measured: float
    unit: str

    def __str__(self) -> str:
        return f"measured={self.measured:.3g}{self.unit}  {self.what}"


Found = Race | Budget | Measured | Parts
Study = Iterator[Found]


def race(what: str, first: Contender, second: Contender, seconds: float, turns: int, show: tqdm) -> Race:
    """Lets both play in turns, after a warm-up that compiles what is to be compiled."""
    for contender in (first, second):
        contender.play(min(seconds, 0.2))
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for contender, kept in zip((first, second), rates, strict=True):
            show.set_description(f"{what}: {contender.name}"[:70])
            kept.append(contender.play(seconds))
            show.update()
    return Race(what, first.name, second.name, tuple(rates[0]), tuple(rates[1]))


def step_study(case: str, play: Callable[..., Race]) -> Study:
    """PettingZoo's step with all zones and the opponent as an agent, against Grid2Op's with one agent; both do nothing,
    or both play random legal actions: each zone and the opponent here, one for the whole grid there."""
    n_sub = substations(case)
    for actions in ("do-nothing", "random-legal"):
        other = Grid2OpGym(case, actions)
        ours = Parallel(case, actions, zones=zones(n_sub), opponent="agent")
        result = play(f"step, {case}", ours, other)
        yield result
        if n_sub in STEP_BUDGET:
            what = f"PettingZoo step at {n_sub} substations over Grid2Op's GymEnv, {actions}"
            yield Budget(what, STEP_BUDGET[n_sub], result.ratio)


def parts_study(case: str, play: Callable[..., Race]) -> Study:  # noqa: ARG001 (nobody to race against)
    """Where the time of that step goes."""
    yield parts_of_a_step(case, zones=zones(substations(case)), opponent="agent")


def batch_study(case: str, play: Callable[..., Race]) -> Study:
    """A batch of 64 under all rules, per environment, against the C++ environment."""
    result = play(f"batch, {case}", Batch(case, 64, zones=1), CppEnv(case))
    yield result
    yield Budget(f"batch of 64 over lightsim2grid's LightEnv, {case}", 1.0, result.ratio)


def zones_study(case: str, play: Callable[..., Race]) -> Study:
    """Twenty zones against one on the same grid."""
    if substations(case) < 20:
        return
    result = play(f"zones, {case}", Parallel(case, zones=1), Parallel(case, zones=20))
    yield result
    yield Budget(f"cost of 20 zones over 1, {case}", 2.0, result.ratio, at_least=False)


def what_if_study(case: str, play: Callable[..., Race]) -> Study:
    """200 candidate actions from one state."""
    ours = WhatIf(case, 200, zones=zones(substations(case)))
    result = play(f"what-if, {case}", ours, Grid2OpWhatIf(case, ours))
    yield result
    yield Budget(f"200 candidates over a loop of obs.simulate, {case}", 20.0, result.ratio)


def start_study() -> Study:
    """Import and first environment in a fresh process with a warm kernel cache, CPU seconds; and the way to the first
    step where nothing is compiled yet, on all cores, seconds by the clock."""
    runs = [fresh_process(START_SCRIPT) for _ in range(4)][1:]
    imported, made = (median(run[part] for run in runs) for part in (0, 1))
    yield Budget("import marlgrid", 1.5, imported, at_least=False, unit="s")
    yield Budget('parallel_env("case14")', 1.0, made, at_least=False, unit="s")
    with TemporaryDirectory() as folder:
        (first,) = fresh_process(COLD_SCRIPT, NUMBA_CACHE_DIR=folder)
    yield Budget("first step of case14 where nothing is compiled", 60.0, first, at_least=False, unit="s")


def memory_study() -> Study:
    """MB that one more environment of 118 buses takes, its time series being shared (where the system can tell)."""
    if not Path("/proc/self/statm").exists():
        return
    (megabytes,) = fresh_process(MEMORY_SCRIPT)
    yield Budget("one environment of case118 beyond its series", 50.0, megabytes, at_least=False, unit="MB")


def sampling_study(play: Callable[..., Race]) -> Study:
    """RLlib's sampling of the training task: what the batch gains, and how much of the time the environment takes.

    Above a loading ``experiments.train`` feeds RLlib by the batch; its own sampling is for what the batch cannot do
    (central critics, DQN), and no share of it was promised.
    """
    from experiments.settings import TrainSettings
    from experiments.training_contenders import Sampling

    for when, asked in DECIDING.items():
        settings = TrainSettings(**asked, scenarios=8)
        fed, plain = Sampling(settings, batched=True), Sampling(settings, batched=False)
        result = play(f"sampling, environment steps, decisions {when}", fed, plain)
        yield result
        yield Budget(f"gain of RLlib's sampling by the batch, decisions {when}", 2.0, result.ratio)
        for side in (plain, fed):
            cost = side.usual()
            what = f"environment's share of the sampling time, {side.name}, decisions {when} ({cost})"
            if side is plain and settings.act_above > 0:
                yield Measured(what, cost.share, "%")
            else:
                yield Budget(what, 20.0, cost.share, at_least=False, unit="%")
    many = Sampling(replace(settings, envs_per_runner=MANY), batched=True)
    many.name = f"{fed.name}, {MANY} episodes side by side"
    yield play(f"sampling, environment steps, decisions {when}", many, fed)
    cost = many.usual()
    yield Measured(f"environment's share of the sampling time, {many.name}, decisions {when} ({cost})", cost.share, "%")


def training_study(play: Callable[..., Race]) -> Study:
    """Environment steps per second of training, all of sampling and learning included."""
    from experiments.settings import TrainSettings
    from experiments.training_contenders import batch_training, rllib_training, use_all_cores

    use_all_cores()
    for when in ("at every step", "above a loading of 0.9"):
        settings = TrainSettings(**DECIDING[when], scenarios=8, batch=1000)
        ours = batch_training(settings)
        for batched in (False, True):
            rllib = rllib_training(settings, batched)
            what = f"training, environment steps, decisions {when}"
            result = play(f"{what}, CPU time", ours, rllib)
            yield result
            n = len(result.first_rates)
            rates = (tuple(ours.wall_rates[-n:]), tuple(rllib.wall_rates[-n:]))
            yield Race(f"{what}, clock", ours.name, rllib.name, *rates)
            if not batched:
                yield Budget(f"train_batch over RLlib's training, decisions {when}, CPU time", 8.0, result.ratio)


def growth_study() -> Study:
    """How the time of a step around the solver grows with the grid."""
    from experiments.growth import CASES as GRIDS
    from experiments.growth import growth

    yield growth([*GRIDS], seconds=0.5)[1]


def substations(case: str) -> int:
    from marlgrid import load_case

    return load_case(case).system.grid.n_sub


def zones(n_sub: int) -> int | None:
    """Zones of the comparison; None, the case's own, for other sizes."""
    return ZONES.get(n_sub)


def pin_to_one_core() -> None:
    """This process and its threads on the first core that it may use (where the system can do that)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def run(cases: Sequence[str], studies: Sequence[str], seconds: float, turns: int) -> list[Found]:
    """All the studies asked for; a line is printed as soon as it is known."""
    by_case = {
        "step": step_study,
        "parts": parts_study,
        "batch": batch_study,
        "zones": zones_study,
        "what-if": what_if_study,
    }
    found: list[Found] = []
    with tqdm(unit="turn", leave=False) as show:

        def play(what: str, first: Contender, second: Contender) -> Race:
            return race(what, first, second, seconds, turns, show)

        chosen = [
            lambda s=by_case[study], c=case: s(c, play) for study in studies if study in by_case for case in cases
        ]
        once = {
            "start": start_study,
            "memory": memory_study,
            "growth": growth_study,
            "sampling": lambda: sampling_study(play),
            "training": lambda: training_study(play),
        }
        chosen += [once[study] for study in studies if study in once]
        for study in chosen:
            for result in study():
                found.append(result)
                if isinstance(result, Race | Parts):
                    tqdm.write(described(result) if isinstance(result, Race) else str(result))
    return found


def described(result: Race) -> str:
    """A race in four lines."""
    lines = [result.what]
    for name, rates in ((result.first, result.first_rates), (result.second, result.second_rates)):
        middle = median(rates)
        lines.append(
            f"  {name:<52} {middle:>10.1f}/s  {1e6 / middle:>9.1f} us  (turns {min(rates):.1f} to {max(rates):.1f})"
        )
    return "\n".join([*lines, f"  ratio {result.ratio:.2f}"])


def as_json(found: Sequence[Found]) -> dict[str, list[dict[str, object]]]:
    """Everything measured, for files."""
    races = [{**asdict(item), "ratio": item.ratio} for item in found if isinstance(item, Race)]
    budgets = [{**asdict(item), "met": item.met} for item in found if isinstance(item, Budget)]
    others = {
        name: [asdict(item) for item in found if isinstance(item, kind)]
        for name, kind in (("measured", Measured), ("parts", Parts))
    }
    return {"races": races, "budgets": budgets, **others}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--case", nargs="+", default=list(CASES), help="Grid2Op folders or shipped names")
    parser.add_argument(
        "--study", nargs="+", choices=STUDIES, help="what to measure (default: all but growth, sampling and training)"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of stepping, for each turn of each side")
    parser.add_argument("--turns", type=int, default=7, help="turns of each side")
    parser.add_argument("--json", type=Path, help="file for the figures")
    chosen = parser.parse_args(argv)
    if chosen.seconds <= 0 or chosen.turns < 1:
        parser.error(f"--seconds ({chosen.seconds}) must be positive and --turns ({chosen.turns}) at least 1")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    chosen = arguments(argv)
    pin_to_one_core()
    studies = chosen.study or [study for study in STUDIES if study not in ON_REQUEST]
    found = run(chosen.case, studies, chosen.seconds, chosen.turns)
    for item in found:
        if isinstance(item, Budget | Measured):
            print(item)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
