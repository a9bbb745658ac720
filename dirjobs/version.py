"""Which version of dirjobs this is."""

__version__ = "1.0.0.dev0"
