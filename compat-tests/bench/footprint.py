"""How small it is: the program on disk, the time to its first answer, memory idle and after a thousand logins."""

import concurrent.futures
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from cloud import Cloud, environment, median, memory_mib, row

program = sys.argv[1]
pid = int(environment("CLOUD_PID"))


def first_answer():
    """Seconds from starting the program to its first answered request, on a state that exists already."""
    folder = tempfile.mkdtemp(prefix="gapura-start.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GAPURA_")}
    settings.update(GAPURA_STATE_DIR=folder, GAPURA_LISTEN=f"127.0.0.1:{port}", GAPURA_HYPERVISOR="simulated")
    subprocess.run([program, "init"], env=settings, check=True, capture_output=True)
    times = []
    for _ in range(7):
        began = time.monotonic()
        running = subprocess.Popen([program, "serve"], env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/identity/v3")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                time.sleep(0.001)
            finally:
                connection.close()
        times.append(time.monotonic() - began)
        running.send_signal(signal.SIGTERM)
        running.wait()
    return median(times)


time.sleep(2)
idle = memory_mib(pid)
began = time.monotonic()


def log_in(count):
    cloud = Cloud(environment("CLOUD_FILE"), "gapura-demo")
    for _ in range(count - 1):
        cloud.log_in()


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(log_in, [250] * 4))
login_rate = 1000 / (time.monotonic() - began)
time.sleep(30)
after = memory_mib(pid)
print("| what | measured |\n|---|---|")
row("the program", f"{os.path.getsize(program) / 1e6:.1f} MB")
row("start to first answer (median of 7)", f"{first_answer() * 1000:.0f} ms")
row("resident memory, idle", f"{idle:.1f} MiB")
row("30 s after 1,000 logins", f"{after:.1f} MiB ({after - idle:+.1f})")
row("logins a second, by password (argon2id)", f"{login_rate:.0f}")
