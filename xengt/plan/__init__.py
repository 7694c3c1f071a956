"""Calculates the frames of grant and maptrack tables that domains need for their devices."""

from xengt.plan.devices import GuestDevices, Part
from xengt.plan.frames import FramePlan, Frames, plan_frames

__all__ = ["FramePlan", "Frames", "GuestDevices", "Part", "plan_frames"]
