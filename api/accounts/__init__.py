"""Accounts: registration, logins, sessions, profiles, personal access tokens, and their administration."""
