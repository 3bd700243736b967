"""Tools: what an agent, or a caller through the gateway, may have done; and who may have what."""
