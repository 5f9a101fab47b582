"""Alarms and alerts against Grid2Op's, in lock step: attributes, also after a game over, and the values of rewards."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("grid2op")

from experiments import parity_lock_step as parity
from experiments.parity_actions import random_keys
from experiments.parity_compare import ALERT
from experiments.score_attention import PARTS
from marlgrid.task.observation import Observation
from marlgrid.task.reward import RewardFn, range_of
from marlgrid.task.rewards_attention import AlarmReward, AlertReward

ALARM = (
    "is_alarm_illegal", "time_since_last_alarm", "last_alarm", "attention_budget", "was_alarm_used_after_game_over",
)  # fmt: skip
HURRIED = {"attack_every_xxx_hour": 3, "average_attack_duration_hour": 1.5, "minimum_attack_duration_hour": 1}
"""Terms of the opponents' plans: an attack every three hours."""
SCORES = {"alarm": "_AlarmScore", "assistant": "_AlertTrustScore", "renewables": "_NewRenewableSourcesUsageScore"}
"""Grid2Op's classes of the parts of a score."""


def hurried_environment(make: Callable[..., Any], case: str, rewards: dict) -> Any:
    """Grid2Op's environment with attacks that come often, and every observation attribute."""
    import grid2op
    from grid2op import Reward
    from lightsim2grid import LightSimBackend

    usual = make(case, {}, {})
    parts = PARTS[2021 if type(usual).dim_alarms else 2023]
    terms = usual._kwargs_opponent | HURRIED
    usual.close()
    return grid2op.make(
        case,
        test=True,
        backend=LightSimBackend(),
        action_class=grid2op.Action.PlayableAction,
        observation_class=grid2op.Observation.CompleteObservation,
        other_rewards=rewards
        | {"alert": grid2op.Reward.AlertReward}
        | {part: getattr(Reward, SCORES[part]) for part in parts},
        kwargs_opponent=terms,
    )


class Listener(parity.LockStep):
    """Compares what each step is worth, and all attributes after a game over."""

    @property
    def parts(self) -> dict[str, tuple]:
        return PARTS[2021 if self.system.dim_alarms else 2023]

    def play_out(self, episode: int, reward: RewardFn) -> list[float]:
        """An episode of at most 60 steps with many warnings; the rewards."""
        self.rng, self.tally, values = np.random.default_rng(episode), parity.Tally(), []
        self.reset(episode)
        self.env._reward_helper.template_reward.is_alarm_used = False  # a game over leaves it to the next episode there
        parts = {name: make(self.system, 1) for name, (make, _, _) in self.parts.items()}
        for t in range(60):
            (observation, main, _, info), over = self.listened(f"step {t + 1}")
            assert self.tally.mismatches == []
            theirs = main if isinstance(reward, AlarmReward) else info["rewards"]["alert"]
            values.append(float(reward(self.system, None, None, None, self.state)[0, 0]))
            assert values[-1] == pytest.approx(theirs, abs=1e-6)
            for part in parts.values():
                part.hear(self.state, np.array([True]))
            if over:
                self.compare(observation)
                self.results = {name: (float(part.result()[0]), info["rewards"][name]) for name, part in parts.items()}
                break
        return values

    def listened(self, where: str) -> tuple[tuple, bool]:
        """One step of both: what the environment there said, and whether the episode is over."""
        step, said = self.env.step, []
        self.env.step = lambda action: said.append(step(action)) or said[0]
        try:
            _, over = self.step(where, self.keys())
        finally:
            self.env.step = step
        return said[0], over

    def keys(self) -> dict[str, Any]:
        rng, system = self.rng, self.system
        keys = random_keys("topology", system.grid, rng) if rng.random() < 0.4 else {}
        if system.dim_alarms and rng.random() < 0.3:
            keys["raise_alarm"] = [int(rng.integers(3))] if rng.random() < 0.7 else [0, 2]
        if system.dim_alerts and self.state.t[0] == 0:
            keys["curtail"] = [(int(gen), 0.1) for gen in np.flatnonzero(system.grid.gen_renewable)[:6]]
        if system.dim_alerts and rng.random() < 0.5:
            keys["raise_alert"] = np.flatnonzero(rng.random(system.dim_alerts) < 0.5).tolist()
        return keys

    def compare(self, theirs: Any) -> None:
        ours = Observation(SimpleNamespace(system=self.system), self.state)
        for name in ALARM + ALERT:
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert mine.shape == other.shape, name
            assert mine.dtype.kind == other.dtype.kind, name
            if name != "attack_under_alert":  # memory that was never written, there
                assert mine.tolist() == pytest.approx(other.tolist()), name


def listener(case: str, limits: float) -> Listener:
    usual = parity.grid2op_environment
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(parity, "grid2op_environment", lambda case, _, more: hurried_environment(usual, case, more))
        return Listener(case, limits)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("case", "limits", "reward", "episodes", "ends"),
    [
        ("l2rpn_icaps_2021", 0.75, AlarmReward(), (0, 2, 3, 10), [0.96, 0.42, -1.0, 0.32]),
        ("l2rpn_idf_2023", 0.8, AlertReward(), (0, 3), [-10.0, 2.0]),
    ],
)
def test_attributes_and_rewards(case, limits, reward, episodes, ends):
    """``ends`` are the rewards at the game overs, each of another kind."""
    worlds, seen = listener(case, limits), Counter()
    for episode, end in zip(episodes, ends, strict=True):
        values = worlds.play_out(episode, reward)
        assert worlds.state.lost.all()
        assert values[-1] == pytest.approx(end)
        for name, (ours, theirs) in worlds.results.items():
            assert ours == pytest.approx(theirs, abs=1e-4), name
        seen.update(values)
    lowest, highest = range_of(reward, worlds.system)
    assert lowest <= min(seen)
    assert max(seen) <= highest
    assert len(seen) >= 4
