"""The exception whose message is written for the user."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one sentence: what was given and what was expected. ``parameter`` is the argument
    to change, as the library spells it ("lr", "out"). The command line adds the option of that name
    to the message: "; change --lr." or, where the message gives advice after a semicolon, " or
    change --lr."
    """

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter
