"""The process of a stage: ``python -m bench.gpu.first.child NAME MODULE:FUNCTION START SETTING``.

The function is given the setting and where to put items; what it raises is an item too.
"""

import importlib
import sys
import traceback

from bench.gpu.first.log import Log
from bench.gpu.first.runner import ITEMS
from bench.gpu.first.setting import loaded


def main() -> None:
    name, function, start, text = sys.argv[1:]
    setting = loaded(text)
    put = Log(setting.folder / ITEMS, name, float(start))
    try:
        module, _, within = function.partition(":")
        getattr(importlib.import_module(module), within)(setting, put)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        put({"error": words, "traceback": traceback.format_exc()})
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
