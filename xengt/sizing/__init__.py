"""How many frames of grant and maptrack tables domains need, by their devices."""

from xengt.sizing.devices import Guest, Part
from xengt.sizing.plan import Frames, Plan, planned

__all__ = ["Frames", "Guest", "Part", "Plan", "planned"]
