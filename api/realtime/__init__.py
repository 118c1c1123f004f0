"""Live events: the WebSocket, its tickets, and the relay that brings events from the log to the sockets."""
