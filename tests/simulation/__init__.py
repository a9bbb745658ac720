"""The real protocol in simulated runs, and mutants of it that the runs must catch."""
