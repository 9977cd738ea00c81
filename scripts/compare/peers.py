"""The peers' programs: where they are, and their versions."""

import os
import re
import shutil
import subprocess

# A peer of this list may be given by the variable of its name in upper case.
REPLACEABLE = ("nginx", "haproxy", "h2o", "envoy", "oha")
DEBIAN_MODULES = "/usr/lib/nginx/modules"
VERSION_FLAGS = {"nginx": "-v", "haproxy": "-v", "h2o": "-v", "openssl": "version", "wrk": "-v"}


def program(name):
    """The command of a peer: what its variable says, or its name, to be found in the path."""
    given = os.environ.get(name.upper()) if name in REPLACEABLE else None
    return given or name


def envoy():
    """The program of Envoy, which is optional, or None."""
    return shutil.which(program("envoy"))


def with_envoy(*servers):
    """The servers, without Envoy where it is not installed."""
    return [name for name in servers if name != "envoy" or envoy()]


def oha():
    """The program of oha, which is optional, or None."""
    return shutil.which(program("oha"))


def with_oha(*generators):
    """The generators, without oha where it is not installed."""
    return [name for name in generators if name != "oha" or oha()]


def version(name):
    """The line in which a program tells its version, without its path."""
    command = [program(name), VERSION_FLAGS.get(name, "--version")]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return re.sub(r"^/\S*/", "", lines[0]) if lines else f"{name}, version unknown"


def versions(*names):
    """Versions of all peers that are there."""
    return [version(name) for name in with_oha(*with_envoy(*names))]


def crate_versions(lock, crates):
    """Versions of crates in a Cargo.lock."""
    with open(lock, encoding="utf-8") as file:
        text = file.read()
    return [f"{crate} " + re.search(f'name = "{crate}"\nversion = "(.*)"', text).group(1) for crate in crates]


def nginx_stream():
    """The line that loads nginx's stream module, or nothing where it is built in."""
    done = subprocess.run([program("nginx"), "-V"], capture_output=True, text=True)
    flags = (done.stdout + done.stderr).split()
    if "--with-stream" in flags:
        return ""
    folders = [flag.partition("=")[2] for flag in flags if flag.startswith("--modules-path=")]
    return f"load_module {(folders or [DEBIAN_MODULES])[0]}/ngx_stream_module.so;"
