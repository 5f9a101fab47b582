"""The report of a matrix: one HTML file with tables, pictures and replays, which asks the network for nothing."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from experiments.replay_record import Replay
from experiments.replay_svg import STATUS_COLOURS, drawing, palette
from experiments.robustness_measures import COLUMNS
from experiments.robustness_plots import SCALE
from experiments.robustness_table import ALL, BASELINES, STRATA, pick, shown_cells
from marlgrid.render.style import zone_colour

TEMPLATE = Path(__file__).with_name("robustness_report.html")
PLAYER = """<div class="bar"><select id="which" aria-label="episode"></select>
<button id="play">play</button>
<button id="back" aria-label="one frame back">&larr;</button><button id="next" aria-label="one frame on">&rarr;</button>
<button id="end">last cascade</button><span class="muted">or the arrow keys</span></div>
<p id="words"></p>
<div class="player"><div class="stage" id="stage"><div class="banner" id="banner"></div><div id="drawing"></div></div>
<div class="side" id="side"></div>
<div class="time"><svg id="strip" viewBox="0 0 1000 60" preserveAspectRatio="none"></svg>
<input type="range" id="slider" min="0" value="0" aria-label="frame">
<div class="legend"><span>curve: highest loading, dashed: limit</span>
<span style="color:#8E24AA">shaded: under attack</span>
<span style="color:#DB2B39">bars: waves of a cascade</span>
<span>0 %<i class="ramp" style="background:linear-gradient(90deg,__RAMP__)"></i>130 % loading</span>
<span>dashed lines are out: grey tripped or opened, purple attacked, blue maintenance or failure</span>
<span>yellow substation: split</span></div></div></div>"""
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "completed": ("completed", "{:.0%}".format),
    "unserved_mwh": ("unserved, MWh", "{:,.0f}".format),
    "cost_operation": ("operation cost", "{:,.0f}".format),
    "cost": ("cost with blackout", "{:,.0f}".format),
    "overload_hours": ("overload, h", "{:.2f}".format),
    "overload_line_steps": ("overload, line-steps", "{:.1f}".format),
    "illegal": ("illegal", "{:.2f}".format),
    "attacks": ("attacks", "{:.2f}".format),
    "recovered": ("recovered", "{:.0%}".format),
    "recovery_steps": ("steps to recover", "{:.1f}".format),
}
"""Metric -> heading and how to write it, after survival and its differences."""


def write_report(
    path: Path,
    title: str,
    subtitle: str,
    command: str,
    table: pd.DataFrame,
    gaps: pd.DataFrame,
    axes: tuple[Sequence[str], Sequence[str], Sequence[str]],
    curves: Path,
    replays: Sequence[Replay],
) -> None:
    """Fills the template; ``axes`` are the labels of budgets, attackers and defenders, ``curves`` a PNG."""
    ramp = ",".join(palette()[::10])
    filled = {
        "TITLE": html.escape(title),
        "SUBTITLE": html.escape(subtitle),
        "COMMAND": html.escape(command),
        "STRATA": "".join(_stratum_button(stratum) for stratum in STRATA if stratum in set(table.stratum)),
        "HEAT": "\n".join(_heat(table, stratum, *axes) for stratum in STRATA if stratum in set(table.stratum)),
        "CURVES": "data:image/png;base64," + base64.b64encode(curves.read_bytes()).decode(),
        "FIGURES": _figures(table),
        "GAPS": _gaps(gaps),
        "PLAYER": PLAYER.replace("__RAMP__", ramp)
        if replays
        else "<p>None is shown: no episode was lost, or none was asked for.</p>",
        "DEFINITIONS": "".join(f"<dt>{name}</dt><dd>{html.escape(words)}</dd>" for name, words in COLUMNS.items()),
        "DATA": json.dumps(_data(replays), separators=(",", ":")).replace("</", "<\\/"),
    }
    text = TEMPLATE.read_text()
    for name, part in filled.items():
        text = text.replace(f"__{name}__", part)
    path.write_text(text)


# ---------------------------------------------------------------------------------------------------- tables
def _stratum_button(stratum: str) -> str:
    pressed = "true" if stratum == ALL else "false"
    return f'<button data-stratum="{stratum}" aria-pressed="{pressed}">{stratum} episodes</button>'


def _heat(
    table: pd.DataFrame, stratum: str, budgets: Sequence[str], attackers: Sequence[str], defenders: Sequence[str]
) -> str:
    survival = pick(table, "survival", stratum)
    hidden = "" if stratum == ALL else " hidden"
    panels = []
    for budget in budgets:
        keys = set(shown_cells(table, budget, attackers, defenders)) & set(survival.index)
        head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in defenders)
        rows = []
        for attacker in attackers:
            by_defender = {key[2]: survival.loc[key] for key in keys if key[1] == attacker}
            cells = "".join(_heat_cell(by_defender.get(name)) for name in defenders)
            rows.append(f"<tr><th scope=row>{html.escape(attacker)}</th>{cells}</tr>")
        n = max((int(survival.loc[key].n) for key in keys), default=0)
        caption = f"budget {html.escape(budget)}, {stratum} episodes (n = {n})"
        body = "".join(rows)
        panels.append(
            f'<table class="heat"><caption>{caption}</caption><thead><tr><td style="visibility:hidden"></td>{head}</tr>'
            f"</thead><tbody>{body}</tbody></table>"
        )
    return f'<div class="panels" data-heat="{stratum}"{hidden}>{"".join(panels)}</div>'


def _heat_cell(row: pd.Series | None) -> str:
    if row is None:
        return "<td>-</td>"
    colour = to_hex(SCALE(row["mean"]))
    ink = "#fff" if row["mean"] < 0.16 or row["mean"] > 0.86 else "#22303C"
    return (
        f'<td style="background:{colour};color:{ink}"><b>{row["mean"]:.0%}</b>'
        f"<small>{row.low:.0%} to {row.high:.0%}</small></td>"
    )


def _figures(table: pd.DataFrame) -> str:
    words = ["budget", "attacker", "defender", "stratum"]
    numbers = ["n", "survival", *(f"against {name}" for name in BASELINES), *(head for head, _ in FIGURES.values())]
    head = "".join(f'<th class="word">{word}</th>' for word in words) + "".join(f"<th>{name}</th>" for name in numbers)
    body = "".join(_figures_rows(table, words))
    return f'<table class="data" id="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _figures_rows(table: pd.DataFrame, words: list[str]) -> Iterator[str]:
    for labels, part in table.groupby(words, sort=False):
        by_metric = part.set_index("metric")
        survival = by_metric.loc["survival"]
        cells = [f'<td class="word">{html.escape(label)}</td>' for label in labels]
        cells += [
            _cell(survival.n, "{:.0f}".format),
            _cell(survival["mean"], "{:.1%}".format, survival.low, survival.high),
        ]
        for short in BASELINES.values():
            ends = survival[f"vs_{short}_low"], survival[f"vs_{short}_high"]
            cells.append(_cell(survival[f"vs_{short}"], "{:+.0%}".format, *ends))
        for metric, (_, write) in FIGURES.items():
            row = by_metric.loc[metric]
            cells.append(_cell(row["mean"], write, row.low, row.high))
        budget, *_, stratum = (html.escape(label) for label in labels)
        yield f'<tr data-budget="{budget}" data-stratum="{stratum}">{"".join(cells)}</tr>'


def _cell(value: float, write: Callable[[float], str], low: float | None = None, high: float | None = None) -> str:
    if np.isnan(value):
        return '<td data-v="">-</td>'
    interval = "" if low is None or high is None else f" <small>{write(low)} to {write(high)}</small>"
    return f'<td data-v="{value:.6g}">{write(value)}{interval}</td>'


def _gaps(gaps: pd.DataFrame) -> str:
    if len(gaps) == 0:
        return "<p>It takes the random attacker and another one.</p>"
    words = ["budget", "defender", "stratum", "response", "kind"]
    numbers = {"n": "n", "reference": "against random", "response_survival": "against the response"}
    head = "".join(f'<th class="word">{word}</th>' for word in words)
    head += "".join(f"<th>{name}</th>" for name in (*numbers.values(), "exploitability"))
    rows = []
    for _, row in gaps.iterrows():
        cells = "".join(f'<td class="word">{html.escape(str(row[word]))}</td>' for word in words)
        cells += _cell(row.n, "{:.0f}".format) + "".join(
            _cell(row[name], "{:.1%}".format) for name in list(numbers)[1:]
        )
        rows.append(f"<tr>{cells}{_cell(row.exploitability, '{:+.1%}'.format, row.low, row.high)}</tr>")
    return f'<table class="data"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


# ---------------------------------------------------------------------------------------------------- replays
def _data(replays: Sequence[Replay]) -> dict:
    """What the script reads; defenders with the same zones share a drawing."""
    grids: list[dict] = []
    told = []
    for replay in replays:
        grid = _grid(replay)
        if grid not in grids:
            grids.append(grid)
        told.append(_replay(replay, grids.index(grid)))
    return {"palette": palette(), "status": STATUS_COLOURS, "grids": grids, "replays": told}


def _grid(replay: Replay) -> dict:
    system = replay.task.system
    return {
        "svg": drawing(system),
        "lines": list(system.grid.name_line),
        "zones": list(system.zones.agents),
        "colours": [zone_colour(zone) for zone in range(system.n_zone)],
        "n_sub": system.grid.n_sub,
        "thin": 0.72 if system.grid.n_line > 80 else 1.0,
    }


def _replay(replay: Replay, grid: int) -> dict:
    budget, attacker, defender = replay.cell.key
    tripping = [k for k, frame in enumerate(replay.frames) if frame.trips]
    focus = len(replay.frames) - 1
    if tripping:
        focus = next(k for k in tripping if replay.frames[k].step == replay.frames[tripping[-1]].step)
    ended, survived = replay.outcome.replace("_", " ").lower(), replay.survived_steps
    return {
        "name": f"{defender} against {attacker}, {budget}: episode {replay.number}, {survived} steps survived",
        "words": f"Episode {replay.number}: {defender} survives {survived} of {replay.steps} steps; then {ended}. "
        + replay.cause,
        "defender": defender,
        "attacker": f"{attacker}, {budget}",
        "grid": grid,
        "focus": focus,
        "steps": replay.steps,
        "frames": [frame._asdict() for frame in replay.frames],
    }
