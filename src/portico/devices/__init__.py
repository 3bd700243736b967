"""Devices and pairing: who is let in, by whom, with what, and how one is brought in by a code.

Not here: proving that a device is who it says (`auth`), what nodes can do (`nodes`).
"""
