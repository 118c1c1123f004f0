"""HTTP itself: what the resources of every area are built from."""
