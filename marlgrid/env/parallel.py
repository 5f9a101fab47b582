"""The environment in the form of PettingZoo's parallel API: one episode at a time, all agents at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from marlgrid.env.masks import MaskPlace, check_place, observation_space
from marlgrid.env.spare import Spare
from marlgrid.env.start import Starts, begin
from marlgrid.render.ansi import render_ansi
from marlgrid.simulation.action import NO_COMMANDS, Commands
from marlgrid.simulation.state import State
from marlgrid.task.accounts import Figures, zero_totals
from marlgrid.task.action_view import ActionView
from marlgrid.task.actions import Mask
from marlgrid.task.allowance import Allowance
from marlgrid.task.noise import Noise, NoiseSpec, noise_from
from marlgrid.task.observation import Observation
from marlgrid.task.occasions import check_act_above, occasions
from marlgrid.task.sight import Sight
from marlgrid.task.task import Episode, Outputs, Task
from marlgrid.task.zone_view import ZoneObservation

RENDER_MODES = ("rgb_array", "ansi", "human")

Observations = dict[str, Any]
Infos = dict[str, dict[str, Any]]


class GridParallelEnv(ParallelEnv[str, Any, Any]):
    """Zones, and the opponent if it is an agent, on one grid.

    ``mask`` is the place of the action masks: ``"info"`` (``infos[agent]["action_mask"]``, int8), ``"observation"``
    (observations become ``{"observation", "action_mask"}``), ``"both"``, or None. All agents end together, all
    terminated (the grid is lost) or all truncated (time limit). An action that the rules refuse is played as doing
    nothing and reported in the agent's info; an action outside of its space is an error, and changes nothing.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (PettingZoo's form)
        "name": "marlgrid_v0",
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": True,
        "render_fps": 10,
    }

    def __init__(
        self,
        task: Task,
        starts: Starts | None = None,
        *,
        mask: MaskPlace = "info",
        render_mode: str | None = None,
        seed: int | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"unknown render_mode {render_mode!r}; choose from {list(RENDER_MODES)} or None")
        check_place(task, mask)
        self.task = task
        self.starts = starts or Starts(task.series)
        self.mask = mask
        self.render_mode = render_mode
        self.possible_agents = list(task.agents)
        self.agents: list[str] = []
        self.action_spaces = {agent: task.action_space(agent) for agent in task.agents}
        self.observation_spaces = {agent: observation_space(task, agent, mask) for agent in task.agents}
        self.state_space = task.state_space
        self._rng = np.random.default_rng(seed)
        self._episode: Episode | None = None
        self._spare = Spare()
        self._allowance = Allowance(task.system.parameters)
        self._idle = {
            zone: 0 if isinstance(self.action_spaces[zone], spaces.Discrete) else NO_COMMANDS for zone in task.zones
        }

    # ------------------------------------------------------------------ spaces
    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same object at each call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same object at each call."""
        return self.action_spaces[agent]

    @property
    def max_cycles(self) -> int | None:
        """PettingZoo's word for the greatest number of steps of an episode."""
        return self.starts.max_steps

    @max_cycles.setter
    def max_cycles(self, steps: int | None) -> None:
        self.starts = self.starts.limited(steps)

    # ------------------------------------------------------------------ episodes
    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Observations, Infos]:
        """Starts an episode; options are ``scenario``, ``max_steps``, ``start`` (a row, or ``"random"``), and

        - ``init_state``: an action, as for ``make_action`` or made by it, played as part of the start whatever the
          rules; on top of the scenario's own initial state, or instead of it with ``"method": "ignore"`` in it;
        - ``thermal_limit``: the limits of this episode, (n_line,) A or A by line name.

        Everything that follows, later resets without a seed included, is a function of the last seed given. Raises
        ValueError for unknown options, and where the grid cannot be run from the chosen start.
        """
        if seed is not None:
            self._rng = np.random.default_rng(int(seed))
        episode, outputs = begin(self.task, [self.starts.draw(self._rng, options)], self._spare.memory)
        self._continue_with(episode)
        self._allowance = Allowance(self.task.system.parameters)
        self.agents = self.possible_agents[:]
        self._show()
        return self._observations(outputs), self._infos(outputs)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """One step of the grid; an action is an element of the agent's space, or made by ``make_action``.

        Raises ValueError for missing and unknown agents and for what is not an action, TypeError for what is no dict,
        and RuntimeError before the first reset and after the end.
        """
        figures, rewards = self._play(actions)
        return self._returned(figures, rewards)

    def step_until(
        self, actions: Mapping[str, Any], act_above: float
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """A step, and then steps in which all zones idle until there is an ``occasion`` or the episode is over.

        It returns what the last of them does, with the rewards of all of them summed. No vectors, masks and infos are
        made in between. Raises as ``step`` does, and ValueError where the opponent is an agent.
        """
        check_act_above(act_above, self.task.opponent_agent)
        figures, rewards = self._play(actions)
        while self.agents and not self.occasion(act_above):
            figures, more = self._play(self._idle)
            rewards = {agent: rewards[agent] + own for agent, own in more.items()}
        return self._returned(figures, rewards)

    def state(self) -> np.ndarray:
        """(n,) float32 view of the whole grid, for centralised critics."""
        return self.task.central_state(self._started("state").state)[0]

    # ------------------------------------------------------------------ beyond PettingZoo
    def occasion(self, act_above: float) -> bool:
        """Whether there is something to decide: a line loaded so high, or out and free to be put back."""
        return bool(occasions(self.task.system, self._started("occasion").state, act_above)[0])

    def make_action(self, keys: Mapping[str, Any]) -> Commands:
        """An action of a zone in the words of the grid, such as ``{"set_line_status": [("0_1_0", -1)]}``."""
        return self.task.make_action(keys)

    def describe_action(self, action: Any, agent: str | None = None) -> ActionView:
        """What an action asks for and would do; see ``ActionView``.

        Give commands, a mapping as for ``make_action``, or an element of the space of ``agent``.
        """
        return self.task.describe_action(action, agent)

    def observe_grid(self, noise: NoiseSpec | Noise = None) -> Observation:
        """The whole grid in the field's terms, with ``simulate``; exact, or with ``noise`` (``"grid2op"``, ...)."""
        state = self._lent("observe_grid").state
        errors = noise_from(noise, self.task.system)
        play = partial(ForecastEnv, mask=self.mask)
        return Observation(self.task, state, play=play, noise=errors, allowance=self._allowance)

    def observe_zone(self, agent: str) -> ZoneObservation:
        """What the zone sees, in the field's terms and with numbers of its own, with ``simulate``.

        It reaches as far as the agents' vectors do and has their noise; with an observation of the user's own that does
        not say (by ``sight`` and ``noise``), it is the zone's own substations, exactly.
        """
        seen = self.task.observation
        whole = self.observe_grid(getattr(seen, "noise", None))
        return ZoneObservation(whole, agent, getattr(seen, "sight", Sight()))

    def snapshot(self) -> Episode:
        """The episode as a value: keep it, ``restore`` it, in this environment or in another of the same task."""
        return self._lent("snapshot")

    def restore(self, episode: Episode) -> tuple[Observations, Infos]:
        """Goes back to a snapshot, and returns what the agents saw then."""
        if not isinstance(episode, Episode):
            raise TypeError(f"restore takes a value of snapshot(), not a {type(episode).__name__}")
        outputs = self.task.look(episode)
        self._continue_with(episode)
        self._spare.lend()
        self.agents = self.possible_agents[:] if episode.state.running[0] else []
        return self._observations(outputs), self._infos(outputs)

    @property
    def current(self) -> State:
        """The state of the grid, a batch of one."""
        return self._lent("current").state

    # ------------------------------------------------------------------ pictures
    def render(self) -> np.ndarray | str | None:
        """A picture (height, width, 3) uint8 for ``"rgb_array"``, a text for ``"ansi"``.

        ``"human"`` prints that text at each reset and step, over the previous one on a terminal.
        """
        state = self._started("render").state
        if self.render_mode is None:
            raise RuntimeError(f"there is nothing to render to: make the environment with render_mode= {RENDER_MODES}")
        if self.render_mode == "ansi":
            return render_ansi(self.task.system, state, self.task.series)
        if self.render_mode == "rgb_array":
            from marlgrid.render.picture import render_rgb  # matplotlib is needed here alone

            return render_rgb(self.task.system, state, self.task.series)
        return None

    def _show(self) -> None:
        """Prints the episode for ``"human"``."""
        if self.render_mode != "human" or self._episode is None:
            return
        terminal = sys.stdout.isatty()
        text = render_ansi(self.task.system, self._episode.state, self.task.series, colour=terminal)
        sys.stdout.write(("\x1b[2J\x1b[H" if terminal else "") + text + "\n")
        if terminal:
            time.sleep(1 / self.metadata["render_fps"])

    def close(self) -> None:
        """Nothing is held open."""

    # ------------------------------------------------------------------ parts
    def _play(self, actions: Mapping[str, Any]) -> tuple[Figures, dict[str, np.ndarray]]:
        """One step of the grid: its figures, and rewards (1,)."""
        episode = self._running("step")
        if not isinstance(actions, (dict, Mapping)):  # a dict is found out sooner
            raise TypeError(
                f"actions is a {type(actions).__name__}, give a dict with one action for each of {self.agents}"
            )
        choices = {agent: [action] for agent, action in actions.items()}
        self._episode, figures, rewards = self.task.advance(episode, choices, self._spare.memory)
        self._spare.left(episode.state)
        self._allowance.next_step()
        if figures.some_over:
            self.agents = []
        self._show()
        return figures, rewards

    def _returned(
        self, figures: Figures, rewards: dict[str, np.ndarray]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """What a step returns."""
        agents = self.possible_agents
        outputs = self.task.show(self._started("step").state, figures, rewards)
        return (
            self._observations(outputs),
            {agent: rewards[agent].item(0) for agent in agents},
            dict.fromkeys(agents, figures.terminated.item(0)),
            dict.fromkeys(agents, figures.truncated.item(0)),
            self._infos(outputs),
        )

    def _started(self, what: str) -> Episode:
        if self._episode is None:
            raise RuntimeError(f"{what} needs an episode: call reset first")
        return self._episode

    def _lent(self, what: str) -> Episode:
        """The episode for somebody to keep."""
        episode = self._started(what)
        self._spare.lend()
        return episode

    def _continue_with(self, episode: Episode) -> None:
        if self._episode is not None:
            self._spare.left(self._episode.state)
        self._episode = episode

    def _running(self, what: str) -> Episode:
        episode = self._started(what)
        if not self.agents:
            raise RuntimeError(f"{what} after the end of the episode: call reset first")
        return episode

    def _observations(self, outputs: Outputs) -> Observations:
        observations: Observations = {agent: rows[0] for agent, rows in outputs.observations.items()}
        if self.mask in ("observation", "both"):
            return {a: {"observation": o, "action_mask": _first(outputs.masks[a])} for a, o in observations.items()}
        return observations

    def _infos(self, outputs: Outputs) -> Infos:
        infos = outputs.figures.infos_of(0)
        if self.mask in ("info", "both"):
            for agent, mask in outputs.masks.items():
                # most masks are plain arrays, and there is one per zone
                infos[agent]["action_mask"] = mask[0] if isinstance(mask, np.ndarray) else _first(mask)
        return infos


class ForecastEnv(GridParallelEnv):
    """The future that is foreseen at one moment: every reset goes back to it. Without an opponent."""

    def __init__(self, task: Task, start: State, *, mask: MaskPlace = "info") -> None:
        super().__init__(task, mask=mask)
        self._start = Episode(start, (), zero_totals(1, task.system.n_zone))

    def reset(
        self,
        seed: int | None = None,  # noqa: ARG002 (nothing is drawn)
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observations, Infos]:
        """The moment at which the forecasts were issued. There is nothing to draw and nothing to choose."""
        if options:
            raise ValueError(f"a forecast starts at its own moment: reset takes no options, not {dict(options)}")
        return self.restore(self._start)


def _first(mask: Mask) -> Mask:
    """Of a batch of one."""
    return tuple(part[0] for part in mask) if isinstance(mask, tuple) else mask if mask is None else mask[0]
