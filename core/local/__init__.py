"""A whole installation on one machine: embedded servers, the supervisor, and the operator's commands."""
