"""The gateway message API: one HTTP request in, one run, one answer."""
