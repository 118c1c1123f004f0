"""The HTTP layer that the resources of every area are built on."""
