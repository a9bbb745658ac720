"""The person at the terminal, as those see them who do something for them."""

from __future__ import annotations

from dirjobs.admin.audience import Audience
from dirjobs.console.errors import say
from dirjobs.console.text import Bar

TERMINAL = Audience(say, Bar)
"""Sentences and progress bars go to standard error."""
