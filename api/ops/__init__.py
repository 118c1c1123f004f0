"""Health checks for operators, and the API description with its pages."""
