"""A piece of work in a process of its own that kills itself before a step on the disk."""

from warm import warm

CHILD = """
import os, sys, tarfile
from pathlib import Path
{before}
left = int(sys.argv[1])
def counted(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return function(*args, **kwargs)
    return call
for name in {steps!r}:
    setattr(os, name, counted(getattr(os, name)))
tarfile.TarFile.addfile = counted(tarfile.TarFile.addfile)
{do}
"""


def killed_at(step, do, *, before="", steps=("fsync", "replace", "link", "mkdir", "open")):
    """Run code in a process that kills itself before a step; whether it died.

    Args:
        step: Before which, from 0; a step is a call of one of the functions of `os`, or of what writes into a tar.
        do: The code; `Path` is there.
        before: What is done before steps count.
        steps: The functions of `os`.
    """
    done = warm().run(CHILD.format(before=before, steps=tuple(steps), do=do), step)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9
