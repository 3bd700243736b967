"""Searching a person's notes: a folder of Markdown."""
