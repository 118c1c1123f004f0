"""The command line `allweather`, for operators and for people."""
