"""Tools of MCP servers: programs and services that agents use through the Model Context Protocol.

Not here: Portico as an MCP server (web/mcp.py).
"""
