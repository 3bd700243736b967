"""Agents: who answers, and the runtimes that make the answer."""
