"""Ground floor: checks of values, files, configs and machines without CUDA."""
