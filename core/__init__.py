"""The domain of Allweather: accounts, tasks, events, weather and analytics. It uses neither HTTP nor Celery."""

__version__ = "0.1.0"
