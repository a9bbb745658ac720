"""A WebDAV server in this process that can behave like the ones out there, and misbehave."""

from __future__ import annotations

from .faults import Fault, Faults
from .personalities import PERSONALITIES, Personality
from .server import FakeWebDAV, Logged

__all__ = ["PERSONALITIES", "FakeWebDAV", "Fault", "Faults", "Logged", "Personality"]
