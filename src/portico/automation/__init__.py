"""What the gateway does by itself: jobs on a schedule, heartbeats, and what wakes an agent."""
