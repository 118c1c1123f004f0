"""Tasks: the list, single tasks, bulk changes, comments, reminders, attachments, export and import."""
