"""Notifications, and what comes by mail."""
