"""Newer versions of Portico: whether there is one, and taking it over without a gap."""
