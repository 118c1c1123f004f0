"""The routes of an earlier API, which had different names for paths and fields."""
