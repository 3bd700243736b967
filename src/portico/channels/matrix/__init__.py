"""Matrix accounts, through the client-server API of their homeserver."""
