"""A machine of a network that is a namespace, so that it measures well where guests are emulated: `neighbour.py GUEST OUT`, run
in that namespace. Pings the guest a hundred times a second and takes one connection over which the guest counts. Ended by
SIGTERM, it writes to OUT what it has seen, as JSON.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import threading

PORT = 7777
REPLY = re.compile(r"^\[(\d+\.\d+)\] .*icmp_seq=(\d+) ")
SUMMARY = re.compile(r"(\d+) packets transmitted, (\d+) received")


class Counting:
    """The connection: every line must be the next number."""

    def __init__(self):
        self.connections = 0
        self.counted = 0
        self.wrong = []
        self.ended = False

    def listen(self):
        with socket.create_server(("", PORT)) as door:
            while True:
                connection, _ = door.accept()
                self.connections += 1
                with connection, connection.makefile("r", encoding="ascii", errors="replace") as lines:
                    for line in lines:
                        self.take(line.strip())
                self.ended = True

    def take(self, line):
        self.counted += 1
        if line != str(self.counted):
            self.wrong.append(line)


def main(guest, out):
    counting = Counting()
    threading.Thread(target=counting.listen, daemon=True).start()
    ping = subprocess.Popen(["ping", "-n", "-D", "-i", "0.01", guest], stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGTERM, lambda *_: ping.send_signal(signal.SIGINT))
    times, sent, received = [], 0, 0
    for line in ping.stdout:
        if reply := REPLY.match(line):
            times.append(float(reply[1]))
        elif summary := SUMMARY.search(line):
            sent, received = int(summary[1]), int(summary[2])
    silences = sorted((after - before for before, after in zip(times, times[1:])), reverse=True)
    seen = {
        "sent": sent,
        "received": received,
        "silences_ms": [round(silence * 1000) for silence in silences[:12]],
        "connections": counting.connections,
        "counted": counting.counted,
        "wrong": counting.wrong[:10],
        "broken": counting.ended,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(seen, file)


main(*sys.argv[1:])
