"""Speed and the paper's tables, from a checkout: ``python -m bench --help``.

Never imported by the library.
"""
