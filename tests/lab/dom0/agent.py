"""An agent that runs, for the tests of it in dom0."""

import json
import subprocess
import time
import urllib.request

from patience import patient
from prometheus_client.parser import text_string_to_metric_families


def wait_until(condition, seconds=600):
    end = time.monotonic() + patient(seconds)
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


class Agent:
    """One that runs."""

    def __init__(self, config):
        words = ["xengt", "serve", "--json", "--config", str(config)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.read_address()

    def read_address(self):
        """Wait until it says where it listens, which it does whenever it has read its file."""
        self.address = json.loads(self.process.stdout.readline())["address"]

    def scrape(self):
        with urllib.request.urlopen(
            f"http://{self.address}/metrics", timeout=patient(60)
        ) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def rounds(self):
        return self.scrape()["xengt_probe_rounds_total",]
