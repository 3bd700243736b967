"""Discord bots, through its gateway and its REST API."""
