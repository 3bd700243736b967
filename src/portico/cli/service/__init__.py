"""The gateway as a service of the machine: what is written where, and what the manager is told."""
