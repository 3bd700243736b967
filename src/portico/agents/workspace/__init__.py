"""An agent's directory: its documents, who it says it is, what else is in it, its end."""
