"""Image augmentations for time along x, on kornia; those of the signals themselves in `signals`.

Knows nothing of recordings or training.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
