"""Fitted networks as ONNX files, heat maps and training curves."""
