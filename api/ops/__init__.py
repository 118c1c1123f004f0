"""What operators and readers need: health, the API description and its pages."""
