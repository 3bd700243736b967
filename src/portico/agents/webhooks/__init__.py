"""Calling the webhooks the operator has named."""
