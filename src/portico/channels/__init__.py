"""Channels: the doors people write through, and the one contract they all keep."""
