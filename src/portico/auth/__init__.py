"""Who is calling: credentials, devices, scopes and rate limits, all ending in a `Principal`."""
