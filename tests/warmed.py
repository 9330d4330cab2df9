"""A process that has imported what commands need, and runs each in a child of its own; and the program that asks it.

`python warmed.py serve ADDRESS` listens on a Unix socket. An order is a JSON line (`cwd`, `env`, `words`, and `code`
where it is Python and no command), with three open files for stdin, stdout and stderr; the answer is a line with the
child's pid and, at its end, one with its exit code; a child that was killed has -9. The process opens no engine, so
that each child begins clean; it ends with its own stdin. `python -SE warmed.py ask ADDRESS WORDS...` has a shell's
command carried out in such a child.
"""

import json
import os
import socket
import sys


def ask(address, words):
    """Have a command run with our own files; end as it ends."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        order = {"cwd": os.getcwd(), "env": dict(os.environ), "words": words, "code": None}
        socket.send_fds(line, [json.dumps(order).encode() + b"\n"], [0, 1, 2])
        with line.makefile() as told:
            pid, code = told.readline(), told.readline()
    if not pid or not code:
        sys.exit("the process that runs commands went away")
    if int(code) < 0:
        os.kill(os.getpid(), -int(code))
    sys.exit(int(code))


def serve(address):
    """Take orders until our stdin ends."""
    import select
    import signal

    import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while 0 not in select.select([listener, 0], [], [])[0]:  # 0: our stdin
            line, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                watch(line)
            line.close()


def import_all():
    import importlib
    from contextlib import suppress

    from faults.nursery import MODULES
    from shopkeeper.menu import MENU

    for name in (*MODULES, "scipy.sparse", "scipy.stats", "shopkeeper.simulate", "shopkeeper.doors.demo"):
        with suppress(ImportError):  # redis is an extra
            importlib.import_module(name)
    for entry in MENU:
        entry.function()


def watch(line):
    """Run one order in a child and tell what becomes of it; never returns."""
    text, files, _, _ = socket.recv_fds(line, 1 << 16, 3)
    while not text.endswith(b"\n"):
        text += line.recv(1 << 16)
    pid = os.fork()
    if pid == 0:
        line.close()
        carry_out(json.loads(text), files)
    for file in files:
        os.close(file)
    line.sendall(b"%d\n" % pid)
    line.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def carry_out(order, files):
    """Be the process that was asked for; never returns."""
    import atexit
    import signal
    import traceback
    from contextlib import suppress

    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[:0] = filter(None, order["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.stdin, sys.stdout, sys.stderr = (open(place, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
                                         for place, mode in enumerate("rww"))
    sys.argv, code = ["shopkeeper", *order["words"]], 1
    try:
        if order["code"] is None:
            from shopkeeper.doors.cli import main

            code = main(order["words"])
        else:
            exec(compile(order["code"], "<order>", "exec"), {"__name__": "__main__"})
            code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(sys.argv[2], sys.argv[3:])
    else:
        serve(sys.argv[2])
