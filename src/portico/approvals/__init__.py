"""Approvals: a person decides whether an agent may act, once, on the record."""
