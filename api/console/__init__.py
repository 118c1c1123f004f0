"""The console: the pages for people who work with tasks, served as files that a browser caches."""
