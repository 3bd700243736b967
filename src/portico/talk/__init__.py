"""Talking to an agent by voice: the words that wake it, and whether somebody talks now.

Not here: speaking and listening themselves (the room of media).
"""
