"""Lanes and turns: one run at a time per session, in order, to its end, whatever happens."""
