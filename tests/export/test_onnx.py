"""The exported file: same answers as PyTorch, any batch, its metadata, and only if it is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import PAPER, Network, build
from numpy.typing import NDArray

from img2imu.errors import InputError
from img2imu.export import ExportError, ExportReport, compare_onnx, export_onnx
from img2imu.export import onnx as export_module
from img2imu.models import EncoderConfig
