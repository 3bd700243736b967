"""Putting skills on this machine, and getting the programs they need."""
