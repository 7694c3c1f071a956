"""`xengt bench --suite` on a real Xen: interrupted, continued, and its documents."""

import json
import time

import jsonschema
import pytest

from tests.lab.lab_dom0 import leftovers
from xengt.bench.schema import bench_schema

pytestmark = pytest.mark.long

COMMAND = (
    "xengt bench --suite --duration 0.05 --json=/root/suite.json --html /root/suite.html"
    " --text /root/suite.txt"
)
SETUPS = "import json; print(len(json.load(open('/root/suite.json.partial'))['results']))"


def test_a_killed_suite_is_continued(dom0):
    dom0.check_output(f"rm -f /root/suite.*; setsid {COMMAND} > /dev/null 2> /root/suite.log &")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        found = dom0.run("python3", "-c", SETUPS)
        if found.returncode == 0 and int(found.stdout) >= 10:
            break
        time.sleep(2)
    dom0.check_output("pkill -9 -x xengt; sleep 1")
    before = json.loads(dom0.check_output("cat /root/suite.json.partial"))
    assert before["plan"]["suite"] == "incomplete"
    assert len(before["results"]) >= 10

    done = dom0.run(COMMAND, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert f"suite.json.partial has {len(before['results'])} results" in done.stderr
    assert dom0.check_output("ls /root/suite.*").split() == [
        f"/root/suite.{suffix}" for suffix in ("html", "json", "log", "txt")
    ]
    made = json.loads(dom0.check_output("cat /root/suite.json"))
    jsonschema.validate(made, bench_schema())
    assert made["plan"]["suite"] == "complete"
    assert made["results"][: len(before["results"])] == before["results"]
    cases = [
        tuple(value for key, value in result.items() if key in {"operation", *made["plan"]})
        for result in made["results"]
    ]
    assert len(set(map(str, cases))) == len(cases)
    assert {result["engine"] for result in made["results"]} == set(made["plan"]["engine"])
    assert made["host"]["noise_ratio"] > 0
    assert made["plan"]["left_out"] == []

    text = dom0.check_output("cat /root/suite.txt")
    print(text)
    assert max(len(line) for line in text.splitlines()) <= 72
    assert text.strip() in done.stdout
    page = dom0.check_output("cat /root/suite.html")
    for title in ("Mapping or copying", "Scaling"):
        assert f"<h2>{title}</h2>" in page
    for command, heading in (("break-even", "4,096 B"), ("scaling", "contention")):
        output = dom0.check_output(f"xengt {command} /root/suite.json")
        print(output)
        assert heading in output
    assert leftovers(dom0) == ""
