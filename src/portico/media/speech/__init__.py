"""Text to speech: engines, the choice among them, and the doors to it."""
