"""One gateway process after another on the same sockets: how a restart loses nothing.

Theory of operation: the running process (the predecessor) starts the new one with its listening
sockets, its lock and one end of a socket pair. The successor comes up beside it, begins to accept
on the shared sockets, and says so. Only then does the predecessor give up: it accepts no more,
sends its WebSocket clients away, releases its accounts, says `go`, finishes what runs and ends.
If the successor does not say so in time, it is killed and nothing has happened.

The end of the socket pair tells each when the other is gone, however it went.

Not here: what a gateway gives up and takes over (`portico.app`), the order of it (`server`).
"""
