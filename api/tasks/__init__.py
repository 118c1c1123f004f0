"""Tasks: the collection, one task, bulk changes, comments and reminders, files, export and import."""
