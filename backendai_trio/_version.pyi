# A build writes `_version.py`, from the tags of the repository; it is not under version control.
__version__: str
