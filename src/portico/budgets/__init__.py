"""Budgets: limits in tokens and money, reserved before a turn, settled with its end."""
