"""Stages and workers that go wrong, for the tests of who has to live with them."""

import os
import subprocess
import sys
import time
from pathlib import Path

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def right(setting, put):
    put({"what": "right", "batch": setting.task.batch})


def aborts(setting, put):
    put({"what": "before"})
    os.abort()


def raises(setting, put):
    put({"what": "before"})
    raise ValueError("planted")


def prints(setting, put):
    print('{"stage": "prints", "what": "no item"}')
    os.write(1, b"from below Python\n")
    put({"what": "an item", "array": Path("not JSON by itself")})


def leaves_half_a_line(setting, put):
    with put.path.open("a") as file:
        file.write('{"stage": "leaves_half_a_line", "wh')
    os._exit(3)


def hangs(setting, put):
    """With a process that it has started, in a group of its own."""
    process = subprocess.Popen(SLEEP, process_group=0)
    put({"what": "before", "process": process.pid})
    time.sleep(60)


def worker(how):
    """A worker that prints what is no answer, or hangs, or fails, at its start."""
    print("no JSON")
    os.write(1, b"from below Python\n")
    subprocess.run([sys.executable, "-c", "print('from another process')"], check=True)
    if how == "hangs":
        time.sleep(60)
    if how == "raises":
        raise ValueError("planted")

    def work(request):
        print("still none", flush=True)
        return {"twice": 2 * request["number"]}

    return {}, work
