"""A running agent, for the tests in dom0."""

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
    """A running `xengt serve`."""

    def __init__(self, config):
        words = ["xengt", "serve", "--json", "--config", str(config)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.read_address()

    def read_address(self):
        """Read the address, which the agent prints whenever it has read its configuration."""
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
