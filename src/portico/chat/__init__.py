"""The operator's conversation: chat.*, agent and agent.wait, on top of the message path."""
