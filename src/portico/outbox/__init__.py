"""The outbox: the only way for text to leave, in order per conversation, with its whole history."""
