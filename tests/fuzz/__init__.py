"""Inputs that nobody would write, for all that reads what others wrote.

`python -m tests.fuzz --inputs 1000000 KIND` tries many; the test here takes seconds.
"""
