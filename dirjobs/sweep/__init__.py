"""Parameter sweeps: sets of parameters and the jobs made of them."""
