"""Generator of the embedded shape families; run as ``cd datasets && python -m shape_generator``."""
