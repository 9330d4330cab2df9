"""A real Redis for a test."""

import subprocess

from faults.harness import free_port, wait_for

SERVER = "/usr/bin/redis-server"


class Redis:
    """A Redis of the test's own, on a free port, which keeps nothing."""

    def __init__(self, folder):
        import redis  # only `make test-all` installs it

        self.made, self.away = redis.Redis, redis.ConnectionError
        self.port, self.folder = free_port(), folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                         "--appendonly", "no", "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        self.client = self.made(port=self.port)
        wait_for(self.answers)

    def answers(self):
        try:
            return self.client.ping()
        except self.away:
            return False

    def add(self, stream="clicks", **fields):
        return self.client.xadd(stream, fields).decode()

    def stop(self):
        self.client.close()
        self.process.terminate()
        self.process.wait()
