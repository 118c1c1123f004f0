"""Live events: the WebSocket, its tickets, and the relay that sends events from the event log to the sockets."""
