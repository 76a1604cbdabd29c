"""The one exception whose text is meant for the person at the keyboard."""


class UserError(Exception):
    """A mistake the user can mend: what was given, what was expected, what to do next.

    The message is one sentence. The command line prints it without a traceback and exits
    with a non-zero code; a notebook shows it like any other exception.
    """
