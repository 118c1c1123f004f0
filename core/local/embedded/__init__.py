"""Real PostgreSQL and Redis from wheels, for a machine without these servers; they run as long as a command runs."""
