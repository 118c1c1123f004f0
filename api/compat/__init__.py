"""The routes of an earlier API that had other names."""
