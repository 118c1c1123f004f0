"""The failure of a command."""


class CommandFailed(Exception):  # noqa: N818 - an outcome that is told to a person, not a mistake in the code.
    """A command cannot do what it was asked for; the message says why and what to do."""
