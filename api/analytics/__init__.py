"""Figures about tasks."""
