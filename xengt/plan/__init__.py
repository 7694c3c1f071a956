"""How many frames of grant and maptrack tables domains need, by their devices."""

from xengt.plan.devices import Guest, Part
from xengt.plan.frames import FramePlan, Frames, planned

__all__ = ["FramePlan", "Frames", "Guest", "Part", "planned"]
