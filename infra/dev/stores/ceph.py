"""Runs Ceph's RADOS gateway for one test run: a monitor, an OSD in memory, and the gateway, on loopback.

    python ceph.py FOLDER PORT ACCESS_KEY SECRET_KEY

Needs the programs of the Debian packages ceph-mon, ceph-osd, radosgw and ceph-common, and root, whose files they expect.
Prints "ready" once the gateway answers, and stops everything when it is stopped or its standard input ends.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

CONFIG = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor}/0
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
public network = 127.0.0.0/8
ms bind ipv6 = false
run dir = {folder}
admin socket =
log file = {folder}/$name.log
[client.rgw.a]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = localhost
# Deleted files give back their memory within seconds instead of hours.
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw gc processor max time = 5
"""

# A first start makes a dozen pools.
READY_SECONDS = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    def __init__(self, folder, port):
        self.folder, self.port, self.daemons = folder, port, []
        self.config = os.path.join(folder, "ceph.conf")
        self.fsid, self.monitor = str(uuid.uuid4()), free_port()
        for part in ("mon", "osd", "rgw"):
            os.makedirs(os.path.join(folder, part))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(folder=folder, port=port, fsid=self.fsid, monitor=self.monitor))

    def run(self, program, *arguments):
        command = [program, "--conf", self.config, *arguments]
        subprocess.run(command, cwd=self.folder, check=True, stdout=sys.stderr, stderr=sys.stderr, timeout=60)

    def key(self, *arguments):
        command = ["ceph-authtool", os.path.join(self.folder, "keyring"), *arguments]
        subprocess.run(command, check=True, stdout=sys.stderr, stderr=sys.stderr)

    def daemon(self, program, *arguments):
        command = [program, "--conf", self.config, *arguments, "--foreground"]
        self.daemons.append(subprocess.Popen(command, cwd=self.folder, stdout=sys.stderr, stderr=sys.stderr))

    def start(self):
        everything = [part for service in ("mon", "osd", "mgr") for part in ("--cap", service, "allow *")]
        self.key("--create-keyring", "--gen-key", "--name", "mon.", "--cap", "mon", "allow *")
        self.key("--gen-key", "--name", "client.admin", *everything)
        self.key("--gen-key", "--name", "osd.0", "--cap", "mon", "allow profile osd", "--cap", "osd", "allow *")
        self.key("--gen-key", "--name", "client.rgw.a", "--cap", "mon", "allow rw", "--cap", "osd", "allow rwx")
        map_file = os.path.join(self.folder, "monmap")
        address = f"[v2:127.0.0.1:{self.monitor}]"
        subprocess.run(["monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, map_file],
                       check=True, stdout=sys.stderr)
        self.run("ceph-mon", "--mkfs", "--id", "a", "--monmap", map_file, "--keyring", f"{self.folder}/keyring")
        self.daemon("ceph-mon", "--id", "a")
        osd = str(uuid.uuid4())
        self.run("ceph", "osd", "new", osd)
        self.run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", osd)
        self.daemon("ceph-osd", "--id", "0")
        self.daemon("radosgw", "--name", "client.rgw.a")

    def wait(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if any(daemon.poll() is not None for daemon in self.daemons):
                sys.exit("a daemon of Ceph ended")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        sys.exit(f"the gateway does not answer within {READY_SECONDS} s")

    def user(self, access_key, secret_key):
        self.run("radosgw-admin", "--name", "client.rgw.a", "user", "create", "--uid", "exports", "--display-name",
                 "exports", "--access-key", access_key, "--secret-key", secret_key)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=5)
            except subprocess.TimeoutExpired:
                daemon.kill()


def main():
    folder, port, access_key, secret_key = sys.argv[1:]
    cluster = Cluster(os.path.abspath(folder), int(port))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cluster.start()
        cluster.wait()
        cluster.user(access_key, secret_key)
        print("ready", flush=True)
        signal.pause()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
