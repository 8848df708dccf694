"""The checks of `benchmarks/gpu_check.py`: what canemap promises on a GPU, each with a verdict."""
