"""Agents that are programs of their own, spoken to with the Agent Client Protocol over their pipes.

Imports nothing heavy: the `acp` library is read when such an agent first answers.
"""
