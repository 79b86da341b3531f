"""The service: HTTP in front of one ONNX graph."""

import os

# onnxruntime opens a database in the home and sends telemetry when it is imported, unless told not to before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
