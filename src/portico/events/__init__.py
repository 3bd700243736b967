"""Events to connected clients: publish, sequence, replay, and who is present."""
