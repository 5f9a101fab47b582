"""Scripted attackers, and how to write one's own."""

from __future__ import annotations

from marlgrid.task.opponents.base import NoOpponent as NoOpponent
from marlgrid.task.opponents.base import Opponent as Opponent
from marlgrid.task.opponents.geometric import GeometricOpponent as GeometricOpponent
from marlgrid.task.opponents.geometric import MultiAreaOpponent as MultiAreaOpponent
from marlgrid.task.opponents.registry import OPPONENTS as OPPONENTS
from marlgrid.task.opponents.registry import OpponentSpec as OpponentSpec
from marlgrid.task.opponents.registry import opponent_from as opponent_from
from marlgrid.task.opponents.replay import ReplayOpponent as ReplayOpponent
from marlgrid.task.opponents.replay import ScheduleOpponent as ScheduleOpponent
from marlgrid.task.opponents.single import RandomOpponent as RandomOpponent
from marlgrid.task.opponents.single import WeightedOpponent as WeightedOpponent
from marlgrid.task.opponents.tape import PlannedAttack as PlannedAttack
from marlgrid.task.opponents.worst_case import WorstCaseOpponent as WorstCaseOpponent
