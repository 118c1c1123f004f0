"""Real PostgreSQL and Redis for a machine that has neither, out of wheels, for as long as a command runs."""
