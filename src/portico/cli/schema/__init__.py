"""The protocol as one JSON Schema document, and as TypeScript generated from that document."""
