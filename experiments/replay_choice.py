"""Which blackouts of a matrix to show."""

from __future__ import annotations

import pandas as pd

from experiments.robustness_play import NOBODY


def blackouts(episodes: pd.DataFrame, n: int) -> list[tuple[tuple[str, str, str], int]]:
    """At most ``n`` lost episodes as (budget, attacker, defender) and number, at most one of a cell.

    Defenders take turns, the last one asked for first, and each shows the attackers in turn, likewise. Of a cell it is
    an episode that the defender survives without attack, if there is one, and of those the one that lasted longest.
    """
    order = {kind: {name: k for k, name in enumerate(episodes[kind].unique())} for kind in ("attacker", "defender")}
    peace = episodes[(episodes.attacker == NOBODY) & episodes.completed]
    survived = set(zip(peace.defender, peace.episode, strict=True))
    lost = episodes[~episodes.completed]
    lost = lost.assign(
        by_attack=[pair in survived for pair in zip(lost.defender, lost.episode, strict=True)],
        attackers_turn=lost.attacker.map(lambda name: -order["attacker"][name] if name != NOBODY else 1),
        defenders_turn=lost.defender.map(lambda name: -order["defender"][name]),
    )
    lost = lost.sort_values(["by_attack", "survived_steps"], ascending=False, kind="stable")
    one = lost.drop_duplicates(["budget", "attacker", "defender"]).sort_values("attackers_turn", kind="stable")
    turn = one.groupby("defender").cumcount()
    shown = one.assign(turn=turn).sort_values(["turn", "defenders_turn"], kind="stable").head(n)
    return [((row.budget, row.attacker, row.defender), int(row.episode)) for row in shown.itertuples()]
