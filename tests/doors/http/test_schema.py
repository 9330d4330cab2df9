"""Whatever schemathesis makes of the OpenAPI description, the door answers or refuses: it never fails.

SHOPKEEPER_CASES says how many cases an operation gets at most; by default few. 120 make more than 5,000 in all.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from doors.http.served import Process

CASES = os.environ.get("SHOPKEEPER_CASES", "5")


@pytest.mark.outside
def test_no_case_ends_in_a_status_of_500_or_more(folder, tmp_path):
    server = Process(folder, "--log", "errors")
    command = Path(sys.executable).with_name("schemathesis")
    try:
        done = subprocess.run(
            [str(command), "run", f"{server.told['url']}/openapi.json", "--checks", "not_a_server_error", "--phases",
             "fuzzing", "--mode", "all", "--max-examples", CASES, "--seed", "7", "--request-timeout", "60",
             "--exclude-path", "/v1/learn/learn", "--suppress-health-check", "all", "--no-color", "--workers", "4"],
            capture_output=True, text=True, cwd=tmp_path)
        metrics = server.http.get("/metrics").text
    finally:
        server.close()

    failed = [line for line in metrics.splitlines() if line.startswith("shopkeeper_requests_total")
              and 'status="5' in line]
    assert failed == []
    assert done.returncode == 0, done.stdout[-4000:]
