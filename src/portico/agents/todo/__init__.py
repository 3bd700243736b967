"""The list of tasks an agent keeps for its people: TASKS.md in its workspace."""
