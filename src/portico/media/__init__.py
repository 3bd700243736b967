"""Sounds and files: text to speech, and what is kept of it."""
