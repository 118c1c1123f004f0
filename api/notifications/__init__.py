"""Notifications, and which of them are also sent by mail."""
