from .config import PackConfig as PackConfig
from .loader import Batch as Batch
from .loader import Loader as Loader
from .loader import Source as Source
from .packing import PackReport as PackReport
from .packing import pack as pack
from .procedural import ProceduralImages as ProceduralImages
from .store import ImageStore as ImageStore
