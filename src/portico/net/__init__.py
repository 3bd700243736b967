"""Addresses, certificates and TLS: where the gateway listens, and how it proves who it is."""
