"""The use cases, as plain functions that the API and the workers share."""
