"""The method registry: one declaration per capability, called from every surface."""
