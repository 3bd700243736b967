"""The generic bridge: signed JSON in and out over HTTP."""
