"""Scheduled jobs: when they are due, what they run, and that each slot runs once."""
