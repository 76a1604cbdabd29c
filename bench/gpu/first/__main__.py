"""``python -m bench.gpu.first``."""

from bench.gpu.first.command import first

if __name__ == "__main__":
    first(prog_name="python -m bench.gpu.first")
