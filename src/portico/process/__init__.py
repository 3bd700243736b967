"""The process and its neighbours: its lock, the service manager, the programs it starts."""
