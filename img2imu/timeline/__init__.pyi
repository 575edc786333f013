from .predict import Predictions as Predictions
from .predict import iter_predictions as iter_predictions
from .predict import predict_recordings as predict_recordings
from .streaming import Prediction as Prediction
from .streaming import StreamingClassifier as StreamingClassifier
from .streaming import WindowStream as WindowStream
from .tracks import Timeline as Timeline
from .tracks import Track as Track
