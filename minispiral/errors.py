"""The exception whose message is written for the user."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one sentence: what was given, what was expected and, where it helps, what to do
    next. ``parameter`` names the argument to change, as the library spells it ("lr", "out"). The
    command line prints the message without a traceback, names the option that goes with
    ``parameter``, and exits with a non-zero code.
    """

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter
