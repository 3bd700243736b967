"""Files of agents' workspaces, for tools."""
