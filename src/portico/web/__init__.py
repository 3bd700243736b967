"""The doors on the port: WebSocket, HTTP, and the web pages."""
