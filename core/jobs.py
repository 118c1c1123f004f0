"""The names by which processes speak of jobs and queues, so that a sender need not import the code that runs them."""

from typing import Final

QUEUE_EVENTS: Final = "events"
QUEUE_WEATHER: Final = "weather"
QUEUE_MAIL: Final = "mail"
QUEUE_MAINTENANCE: Final = "maintenance"

EVENTS_PUBLISH: Final = "events.publish"
WEATHER_ENRICH: Final = "weather.enrich"
WEATHER_SWEEP: Final = "weather.sweep"
REMINDERS_FIRE: Final = "reminders.fire"
MAIL_SEND: Final = "mail.send"
MAIL_SWEEP: Final = "mail.sweep"
ANALYTICS_FOLD: Final = "analytics.fold"
TOKENS_PURGE: Final = "tokens.purge"
EVENTS_PURGE: Final = "events.purge"
NOTIFICATIONS_PURGE: Final = "notifications.purge"
ATTACHMENTS_SWEEP: Final = "attachments.sweep"
