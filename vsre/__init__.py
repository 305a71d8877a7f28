"""The front door: command line, pipeline, run directories, doctor and report."""

__version__ = "0.1.0"
