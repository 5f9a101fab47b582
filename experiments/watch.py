"""Shows one episode of a team in the terminal and writes it as an animation:

    python -m experiments.watch                              # what `make run` trained
    python -m experiments.watch zone-greedy --opponent weighted --episode 3

The episode is one of the held-out ones that the tables are about, played to its end; shown are every ``--every``-th
step, all in which an attack starts or a line trips, and the last ones before a blackout.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from agents import agent_from
from agents.attackers import attacker_from
from experiments.evaluation import Moment, Starts, played
from experiments.robustness_play import settings_of
from experiments.tasks import task_of
from marlgrid.env.registry import make_task
from marlgrid.render.ansi import render_ansi
from marlgrid.render.picture import render_rgb
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.commands import in_words
from marlgrid.task.task import Task

LAST = 8
"""Steps before a blackout that are all shown."""
CAPTION = 26
"""Pixels per line of what the zones did."""
COLOURS = 96
"""Of the animation."""
CLEAR = "\x1b[2J\x1b[H"


class Frame(NamedTuple):
    """A state that is shown."""

    state: State
    deeds: tuple[str, ...]
    """What each zone asked for in the step that led here."""


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        task, starts = _episode(options)
        agent = agent_from(options.agent)
    except (ValueError, KeyError, FileNotFoundError, TypeError) as error:
        sys.exit(f"{error.args[0] if error.args else error}")
    steps = tqdm(played(task, agent, starts), total=starts.max_steps, unit="step", desc="playing", leave=False)
    frames = chosen(task, list(steps), options.every)
    show(task, frames, 1.0 / options.speed if sys.stdout.isatty() else 0.0, sys.stdout.isatty())
    print(ending(frames[-1].state))
    if options.output != "none":
        path = Path(options.output or _place(options))
        path.parent.mkdir(parents=True, exist_ok=True)
        animate(task, frames, path, options.speed, options.width)
        print(f"{path}: {len(frames)} frames, {path.stat().st_size / 1e6:.1f} MB")
    return 0


# ---------------------------------------------------------------------------------------------------- what to play
def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.watch", description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    parser.add_argument("agent", nargs="?", default="", help="checkpoint or name of an agent; empty: of `make run`")
    parser.add_argument("--opponent", default="weighted", help="none, a name, or a checkpoint of a trained attacker")
    parser.add_argument("--case", default="", help="built-in case or Grid2Op environment; empty: the checkpoint's")
    parser.add_argument("--episode", type=int, default=0, help="number of the held-out episode")
    parser.add_argument("--max-steps", type=int, default=288, help="of the episode")
    parser.add_argument("--seed", type=int, default=0, help="of starts and attacks")
    parser.add_argument("--every", type=int, default=6, help="steps between two frames")
    parser.add_argument("--speed", type=float, default=4.0, help="frames per second")
    parser.add_argument("--width", type=int, default=930, help="of the animation, pixels")
    parser.add_argument("--output", default="", help="GIF to write; empty: watch-... beside the run, none: no file")
    options = parser.parse_args(arguments)
    if min(options.every, options.max_steps, options.width) < 1 or options.speed <= 0 or options.episode < 0:
        parser.error("--every, --max-steps, --width and --speed must be above 0, --episode at least 0")
    if not options.agent:
        made = Path("runs") / Path(options.case or "case14").name / "checkpoint"
        if not made.is_dir():
            sys.exit(
                f"no checkpoint in {made}/: train one with `make run`, or name an agent, as in "
                "`python -m experiments.watch greedy`"
            )
        options.agent = str(made)
    return options


def _episode(options: argparse.Namespace) -> tuple[Task, Starts]:
    """The task of the agent's training, or of the case, and where the episode starts."""
    settings = settings_of(options.agent)
    if settings is None:
        opponent = None if options.opponent == "none" else attacker_from(options.opponent)
        task = make_task(options.case or "case14", opponent=opponent, split="test")
    else:
        if options.case not in ("", settings.case):
            raise ValueError(f"{options.agent} was trained on {settings.case}, not on {options.case}: leave --case out")
        task = task_of(settings, options.opponent, "test")
    starts = Starts.of_split(task, "test", max(50, options.episode + 1), options.max_steps, options.seed)
    one = slice(options.episode, options.episode + 1)
    return task, replace(starts, seed=starts.seed[one], scenario=starts.scenario[one], t_start=starts.t_start[one])


def _place(options: argparse.Namespace) -> Path:
    """``watch-<opponent>-<episode>.gif`` in the folder of the run, or under runs/watch/."""
    path, opponent = Path(options.agent), Path(options.opponent)
    against = (opponent.parent if opponent.name == "checkpoint" else opponent).name
    if path.is_dir():
        return path.parent / f"watch-{against}-{options.episode}.gif"
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in options.agent)
    return Path("runs") / "watch" / f"{name}-{against}-{options.episode}.gif"


# ---------------------------------------------------------------------------------------------------- what to show
def chosen(task: Task, moments: list[Moment], every: int) -> list[Frame]:
    """The frames out of the steps of an episode, its start first."""
    frames = [Frame(moments[0].before.state, ())]
    lost = bool(moments[-1].after.state.lost[0])
    for number, moment in enumerate(moments, start=1):
        before, after = moment.before.state, moment.after.state
        attacked = (after.attack.starts > before.attack.starts).any()
        near_end = number == len(moments) or (lost and number > len(moments) - LAST)
        if number % every == 0 or attacked or (after.disc_lines >= 0).any() or near_end:
            frames.append(Frame(after, deeds(task, moment)))
    return frames


def deeds(task: Task, moment: Moment) -> tuple[str, ...]:
    """What the zones asked for, in words; zones that did nothing are passed over."""
    asked = [(zone, task.actions.commands(z, moment.choices[zone][0])) for z, zone in enumerate(task.zones)]
    return tuple(f"{zone}: {in_words(task.system, commands)}" for zone, commands in asked if len(commands.kind))


def ending(state: State) -> str:
    """How the episode ended."""
    steps = int(state.t[0] - state.t_start[0])
    if state.lost[0]:
        return f"blackout after {steps} steps: {Outcome(int(state.outcome[0])).name}"
    return f"survived all {steps} steps"


def show(
    task: Task, frames: Iterable[Frame], pause: float, colour: bool, write: Callable[[str], object] = print
) -> None:
    """The frames as text, one after the other; in a terminal, each in the place of the last."""
    for frame in frames:
        text = render_ansi(task.system, frame.state, task.series, colour=colour)
        write("\n".join([(CLEAR if colour else "") + text, *(f"  {deed}" for deed in frame.deeds), ""]))
        if pause:
            time.sleep(pause)


def animate(task: Task, frames: list[Frame], path: Path, speed: float, width: int) -> None:
    """A GIF of the frames, what the zones asked for below the picture; the last frame stays for two seconds."""
    lines = max(len(frame.deeds) for frame in frames)
    pictures = [
        _picture(task, frame, lines, width) for frame in tqdm(frames, unit="frame", desc="drawing", leave=False)
    ]
    pause = round(1000 / speed)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], loop=0, duration=[pause] * (len(frames) - 1) + [2000]
    )


def _picture(task: Task, frame: Frame, lines: int, width: int) -> Image.Image:
    drawn = render_rgb(task.system, frame.state, task.series)
    canvas = np.full((drawn.shape[0] + CAPTION * lines, drawn.shape[1], 3), 255, dtype=np.uint8)
    canvas[: drawn.shape[0]] = drawn
    image = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=18)
    for number, deed in enumerate(frame.deeds):
        pen.text((16, drawn.shape[0] + CAPTION * number), deed, fill=(40, 48, 56), font=font)
    height = round(image.height * width / image.width)
    return image.resize((width, height), Image.Resampling.LANCZOS).quantize(COLOURS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
