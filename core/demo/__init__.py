"""A demonstration: believable data, and a weather server on loopback, so that it needs no internet."""
