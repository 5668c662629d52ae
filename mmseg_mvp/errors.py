"""The one exception that says: the user, not the code, has something to mend."""


class UserError(ValueError):
    """A mistake in a config, a file or a call, told in one sentence.

    The message names the thing, what was found, what was expected and how to mend it. The command line tools print it
    alone, without a traceback, and exit with code 2.
    """
