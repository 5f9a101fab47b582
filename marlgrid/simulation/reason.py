"""Why the action of a zone was refused."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why the action of a zone was refused."""

    ACCEPTED = 0
    NOT_IN_ZONE = 1
    """It touches or warns of an element of another zone, or switches a tie line that the zone may not switch."""
    AMBIGUOUS_LINE = 2
    """Its commands on a line contradict each other, or ask for a status that does not exist."""
    AMBIGUOUS_BUS = 3
    """Its commands on a busbar contradict each other, or the busbar does not exist."""
    REDISPATCH_OUT_OF_RANGE = 4
    """More than the ramp, or a generator that cannot be redispatched."""
    CURTAILMENT_OUT_OF_RANGE = 5
    """Not a ratio in [0, 1], or a generator that is not renewable."""
    STORAGE_OUT_OF_RANGE = 6
    """More than the storage can absorb or produce."""
    TOO_MANY_LINES = 7
    """More line statuses than the quota."""
    TOO_MANY_SUBS = 8
    """More substations than the quota."""
    LINE_COOLDOWN = 9
    SUB_COOLDOWN = 10
    STORAGE_DISCONNECTED = 11
    """Power asked of a storage that is on no busbar."""
    REDISPATCH_TARGET_OUT_OF_RANGE = 12
    """The summed redispatch would exceed pmax - pmin."""
    GEN_SWITCHED_OFF = 13
    """Redispatch of a generator that stands still, where the parameters forbid it."""
    DISPATCH_INFEASIBLE = 14
    """The joint dispatch had no solution; charged to the zones that asked for dispatch in that step."""
    OWN_RULE = 15
    """A rule of the user's own forbids it."""
    GEN_SWITCHED_TOO_SOON = 16
    """A generator of the zone started or stopped before its minimum time; what the zone asked for was played."""
