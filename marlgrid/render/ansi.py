"""A state as text: one line per zone, and what is wrong."""

from __future__ import annotations

import numpy as np

from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.render.style import clock, rgb, rho_colour, zone_colour
from marlgrid.render.summary import ZoneSummary, events, zone_summaries
from marlgrid.simulation.state import Outcome, State

WIDTH = 84
BAR = 16
N_EVENT = 12


def render_ansi(
    system: System, state: State, series: TimeSeries | None = None, *, row: int = 0, colour: bool = False
) -> str:
    """Text of one row of a state, at most about 30 lines; ``colour`` adds ANSI colours for a terminal."""
    zones = zone_summaries(system, state, row)
    outcome = Outcome(int(state.outcome[row])).name.replace("_", " ").lower()
    head = "  ".join(part for part in (system.grid.name, *clock(state, series, row), outcome) if part)
    attack = state.attack
    lines = [
        head,
        "-" * WIDTH,
        f"{'zone':10}{'load MW':>9}{'gen MW':>9}{'battery':>9}{'max rho':>8}{'':{BAR + 2}}"
        f"{'over':>5}{'out':>5}{'attacked':>10}",
        *(_zone_line(zone, colour) for zone in zones),
        "-" * WIDTH,
        f"attacks: {attack.starts[row]} so far, budget {attack.budget[row]:.1f} line-steps, "
        f"{attack.cooldown[row]} steps of cooldown",
    ]
    found = events(system, state, row)
    lines += [f"  {_painted('*', rgb(shade), colour)} {text}" for shade, text in found[:N_EVENT]]
    if len(found) > N_EVENT:
        lines.append(f"    and {len(found) - N_EVENT} more")
    return "\n".join(lines)


def _zone_line(zone: ZoneSummary, colour: bool) -> str:
    name = _painted(f"{zone.name:10.10}", rgb(zone_colour(zone.number)), colour)
    filled = round(BAR * min(zone.max_rho / 1.3, 1.0))
    bar = _painted("#" * filled, rho_colour(np.array(zone.max_rho)), colour) + "." * (BAR - filled)
    return (
        f"{name}{zone.load_mw:9.1f}{zone.gen_mw:9.1f}{zone.storage_mw:9.1f}{zone.max_rho:8.2f} {bar} "
        f"{zone.n_overload:5d}{zone.n_out:5d}{zone.n_attacked:10d}"
    )


def _painted(text: str, channels: np.ndarray, colour: bool) -> str:
    """The text in 24-bit colour, or as it is."""
    if not colour:
        return text
    red, green, blue = (round(255 * float(channel)) for channel in channels)
    return f"\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"
