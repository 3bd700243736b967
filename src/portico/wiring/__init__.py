"""From the configuration to constructed services: one module for each part of the gateway.

Each function reads its part of the configuration, constructs, and returns. `house.py` calls them in
order and owns what they return; nothing here starts anything.
"""
