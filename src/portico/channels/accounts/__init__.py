"""Accounts that run: what is wanted, what is, and who keeps the two together."""
