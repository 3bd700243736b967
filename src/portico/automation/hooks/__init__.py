"""What other programs tell agents over HTTP."""
