from .augment import create_policy as create_policy
from .convert import SpectrogramConfig as SpectrogramConfig
from .convert import to_images as to_images
from .fewshot import FinetuneConfig as FinetuneConfig
from .fewshot import Img2ImuClassifier as Img2ImuClassifier
from .fewshot import ProbeConfig as ProbeConfig
from .fewshot import evaluate as evaluate
from .models import EncoderConfig as EncoderConfig
from .models import create_encoder as create_encoder
from .recordings import WindowConfig as WindowConfig
from .recordings import load_windows as load_windows
from .recordings import make_windows as make_windows
from .recordings import open_source as open_source
from .timeline import StreamingClassifier as StreamingClassifier

__version__: str
