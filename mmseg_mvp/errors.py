"""Exception for mistakes of the user, as opposed to bugs."""


class UserError(ValueError):
    """Mistake in a config, a file or a call, described in one sentence.

    The message names the object, the value found, the value expected and the remedy. The command line tools print only
    the message, without traceback, and exit with code 2. So does a notebook.
    """

    def _render_traceback_(self) -> list[str]:  # IPython's protocol
        return [f'error: {self}']
