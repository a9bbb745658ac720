"""Time that never goes back and, where possible, counts while the machine is suspended."""

from dirjobs.process import monotonic

__all__ = ["monotonic"]
