"""The sections of the settings tree, one module per family. Importing them imports pydantic."""
