"""Image collections: packed once, read by training ever after; and images made of no data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
