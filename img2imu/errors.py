"""The one exception that means "your input, not our bug"."""


class InputError(ValueError):
    """Bad input, told in one clear sentence; the command line prints it and exits with code 2."""
