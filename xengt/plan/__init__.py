"""Calculates the frames of grant and maptrack tables that domains need for their devices."""

from xengt.plan.devices import Framebuffer, GuestDevices, Part
from xengt.plan.document import FramePlan, Frames
from xengt.plan.frames import Hosts, plan_frames
from xengt.plan.presets import DEFAULTS_OF, Preset

__all__ = [
    "DEFAULTS_OF",
    "FramePlan",
    "Framebuffer",
    "Frames",
    "GuestDevices",
    "Hosts",
    "Part",
    "Preset",
    "plan_frames",
]
