"""How often an episode may be asked what would happen: the one count that is in no state, as asking changes no grid."""

from __future__ import annotations

from marlgrid.model.parameters import Parameters


class SimulationLimitError(RuntimeError):
    """``Observation.simulate`` was called more often than the parameters allow in a step or an episode."""


class Allowance:
    """The calls of ``Observation.simulate`` made in an episode, shared by all observations of its environment.

    As in Grid2Op the limits are ``max_simulate_per_step`` and ``max_simulate_per_episode``, and a call too many is an
    exception, not an illegal action. A snapshot does not hold the count, so going back to one gives nothing back.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.of_step, self.of_episode = parameters.max_simulate_per_step, parameters.max_simulate_per_episode
        self.in_step = self.in_episode = 0

    def next_step(self) -> None:
        """A step of the episode was made."""
        self.in_step = 0

    def spend(self) -> None:
        """Counts one call. Raises SimulationLimitError if it is one too many."""
        for name, limit, used in (
            ("max_simulate_per_step", self.of_step, self.in_step),
            ("max_simulate_per_episode", self.of_episode, self.in_episode),
        ):
            if 0 <= limit <= used:
                unit = name.rsplit("_", 1)[-1]
                raise SimulationLimitError(
                    f"simulate was called {used} times in this {unit} already, and {name} is {limit}: wait for the "
                    f"next {unit}, or raise the parameter (-1 for any number)"
                )
        self.in_step += 1
        self.in_episode += 1
