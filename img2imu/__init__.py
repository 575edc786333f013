"""Carries what vision models know over to inertial sensing."""

import lazy_loader

__version__ = "0.2.0"

# The names lie in __init__.pyi; each is imported when it is first asked for, torch with it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
