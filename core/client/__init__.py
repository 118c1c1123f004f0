"""A client of the HTTP API and of the live events, for the command line."""
