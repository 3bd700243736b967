"""From the configuration to constructed services: one module for each part of the gateway.

Each reads its part of the configuration and constructs. `ground`, `kernel`, `conversation`, `path`,
`features` and `front` are the floors that own what the others return, in this order; nothing here
starts anything.
"""
