"""Labels by hand: what to label next, a local page to do it on, and the classifier it comes to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
