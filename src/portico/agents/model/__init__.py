"""The `model` runtime: an agent that thinks with a language model of any provider.

What imports pydantic-ai (`engine.py`, `asking.py`, `clients.py`, `prompt.py`, `troubles.py`) is
imported, in a thread, when a model agent first answers or is warmed up; everything else is light.
"""
