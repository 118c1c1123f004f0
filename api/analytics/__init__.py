"""Analytics: numbers of tasks."""
