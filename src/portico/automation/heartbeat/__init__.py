"""Agents look around now and then, and are told what happened meanwhile."""
