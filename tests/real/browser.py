"""Headless Chromium, and what it has asked for to show a page: by its own log of the network."""
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any

# Nothing but the test's own addresses is resolved: a browser's own talk with its makers stays in the machine.
_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
          "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
          "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
_CACHE_MISS = -400  # a look into the browser's own cache, not a request


@dataclass
class Request:
    """One resource with the redirects on its way: URLs and status lines by turns, an error where one ended it."""
    urls: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    error: int = 0

    @property
    def failed(self) -> bool:
        return self.error != 0 or not self.statuses or not 200 <= self.statuses[-1] < 400


@dataclass(frozen=True)
class Page:
    dom: str  # as it is once its scripts have run
    requests: list[Request]

    def describe(self) -> str:
        return "\n".join(str(request) for request in self.requests) + "\n" + self.dom


def _requests(log: dict[str, Any], origins: set[str]) -> list[Request]:
    constants = log["constants"]
    names = {number: name for name, number in constants["logEventTypes"].items()}
    found: dict[int, Request] = {}
    for event in log["events"]:
        if event["source"]["type"] != constants["logSourceType"]["URL_REQUEST"]:
            continue
        request = found.setdefault(event["source"]["id"], Request())
        name, params = names[event["type"]], event.get("params", {})
        if name == "URL_REQUEST_START_JOB" and "url" in params:
            request.urls.append(params["url"])
        elif name == "HTTP_TRANSACTION_READ_RESPONSE_HEADERS":
            request.statuses.append(int(params["headers"][0].split()[1]))
        elif name == "URL_REQUEST_START_JOB" and params.get("net_error"):
            request.error = params["net_error"]
    return [request for request in found.values() if request.error != _CACHE_MISS and request.urls
            and any(request.urls[0].startswith(origin + "/") for origin in origins)]


def show(url: str, directory: str, origins: set[str]) -> Page:
    """Shows `url`; of the requests those to `origins` are told, in their order."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("no chromium: install chromium")
    log_path = os.path.join(directory, "net.json")
    done = subprocess.run([chromium, *_FLAGS, f"--user-data-dir={directory}/profile", f"--log-net-log={log_path}",
                           "--virtual-time-budget=10000", "--dump-dom", url], capture_output=True, text=True, timeout=90,
                          check=False, env={"PATH": os.environ["PATH"], "HOME": directory, "LANG": "C.UTF-8"})
    assert done.returncode == 0, f"chromium: {done.returncode}\n{done.stderr[-3000:]}"
    with open(log_path, encoding="utf-8") as file:
        return Page(done.stdout, _requests(json.load(file), origins))
