"""The decision process: what changes from step to step, and the stages that change it."""

from __future__ import annotations

from marlgrid.simulation.action import Action as Action
from marlgrid.simulation.action import Attack as Attack
from marlgrid.simulation.action import Commands as Commands
from marlgrid.simulation.action import Kind as Kind
from marlgrid.simulation.action import SubstationAttack as SubstationAttack
from marlgrid.simulation.forecast import simulate as simulate
from marlgrid.simulation.reason import Reason as Reason
from marlgrid.simulation.rules import Ruling as Ruling
from marlgrid.simulation.rules import attack_allowed as attack_allowed
from marlgrid.simulation.rules import enforce as enforce
from marlgrid.simulation.rules import legal as legal
from marlgrid.simulation.state import Outcome as Outcome
from marlgrid.simulation.state import State as State
from marlgrid.simulation.state import put as put
from marlgrid.simulation.state import take as take
from marlgrid.simulation.substations import substation_attack_allowed as substation_attack_allowed
