"""Starts the load of `lab trace --mapper pvh`, and kills it once it maps and unmaps."""

import subprocess

words = ["python3", "/root/trace-mapper/trace_load.py", "pvh", "32", "1"]
with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
    assert load.stdout is not None
    assert load.stdout.readline() == b"mapping\n"
    load.kill()
