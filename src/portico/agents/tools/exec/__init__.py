"""Running programs for agents: off by default, judged, in a sandbox or on this machine."""
