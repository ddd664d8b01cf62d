"""A datastore in Python, written against the bare contract: a shared folder.

Built by componentize-py, which makes the modules below `wit_world` from `wit/datastore.wit`. See build.sh.

What the remote holds:

    objects/{name}               one version of one file; no other version and no other file has its name
    pushes/{number}-{random}     what one push changed, as JSON; all of them in order are the index

Each is written once and under a name that nobody else takes, so two pushes share nothing that one could spoil for the other:
that is why `scoped-sync` can be promised. A push is one file that appears at once, so a reader sees all of it or nothing, and
what was cut off before that is invisible. The price: pushes pile up, and a pull reads all of them. A datastore for
many pushes would merge them from time to time, and would have to be careful there.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.capabilities import CapabilityFlags
from wit_world.imports import host, store
from wit_world.imports.types import (
    Change_Written,
    Error_Config,
    Error_Conflict,
    Error_Fatal,
    Error_Retry,
    Failure,
    PullReport,
    PushReport,
)

CACHE = Path("/cache")


class Capabilities(exports.Capabilities):
    def capabilities(self):
        return CapabilityFlags.SCOPED_SYNC


class Sync(exports.Sync):
    def push(self, options):
        remote = Remote.configured()
        if options.changes is None:
            raise fatal("this datastore pushes what the host says has changed, and this host does not say it")
        index = remote.index()
        report, replaced, push, conflicts = PushReport(0, 0, 0, 0), [], {}, []
        for change in changes():
            file = change.value
            held = index.get(file.path)
            digest = file.digest if isinstance(change, Change_Written) else None
            if digest is None:
                report.deletions += 1
                if held is None:
                    continue
            elif held and held["digest"] == digest:
                report.unchanged += 1
                continue
            # The remote may be changed only where it holds what this repository last synced.
            if held["digest"] != file.base if held else file.base and file.path in index:
                conflicts.append(file.path)
                continue
            if held:
                replaced.append(held["object"])
            push[file.path] = file if digest else None
        if conflicts:
            raise Err(Error_Conflict(conflicts))

        for path, file in push.items():
            if file:
                push[path] = remote.upload(file)
                report.files += 1
                report.bytes += file.size
                check_cancelled()
        if push:
            remote.commit(push)
        for name in replaced:
            remote.remove(name)
        return report

    def pull(self, options):
        remote = Remote.configured()
        report = PullReport(0, 0, 0)
        for path, entry in remote.index().items():
            if not path.startswith(options.scope or ""):
                continue
            if entry is None:
                report.deletions += host.delete(path)
            elif host.wants(path, entry["digest"]):
                content = remote.download(path, entry)
                try:
                    target = CACHE / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                except OSError as error:
                    raise fatal(f"can't write to the cache: {error}", path)
                report.files += 1
                report.bytes += len(content)
                check_cancelled()
        return report


class Remote:
    """The granted folder that `root` names."""

    @classmethod
    def configured(cls):
        root = store.get("root")
        if not root:
            raise Err(Error_Config(failure("`root` must name a granted folder")))
        if not Path(root).is_dir():
            raise Err(Error_Config(failure(f"`root` is {root}, and no folder was granted under that name")))
        return cls(Path(root))

    def __init__(self, root):
        self.root = root

    def index(self):
        """What each path holds: an entry, or None if it was deleted."""
        index = {}
        for name in self.pushes():
            try:
                index.update(json.loads((self.root / "pushes" / name).read_text("utf-8")))
            except (OSError, ValueError) as error:
                raise unreachable(error, f"pushes/{name}")
        return index

    def pushes(self):
        try:
            return sorted(os.listdir(self.root / "pushes"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreachable(error, "pushes")

    def commit(self, push):
        number = max((int(name.split("-")[0]) for name in self.pushes()), default=0) + 1
        self.write(f"pushes/{number:016}-{secrets.token_hex(8)}", json.dumps(push).encode())

    def upload(self, file):
        try:
            content = (CACHE / file.path).read_bytes()
        except OSError as error:
            raise fatal(f"can't read from the cache: {error}", file.path)
        if len(content) != file.size:
            raise Err(Error_Retry(failure("the file changed while it was being pushed", file.path)))
        name = hashlib.sha256(f"{file.digest} {file.path}".encode()).hexdigest()
        self.write(f"objects/{name}", content)
        sha256 = hashlib.sha256(content).hexdigest()
        return {"digest": file.digest, "object": name, "sha256": sha256}

    def download(self, path, entry):
        try:
            content = (self.root / "objects" / entry["object"]).read_bytes()
        except OSError as error:
            raise unreachable(error, path)
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise Err(Error_Retry(failure("the remote holds something else than was pushed", path)))
        return content

    def remove(self, name):
        try:
            (self.root / "objects" / name).unlink(missing_ok=True)
        except OSError as error:
            raise unreachable(error, f"objects/{name}")

    def write(self, name, content):
        """Writes a file that lasts, and that nobody sees before it is complete."""
        target = self.root / name
        unfinished = self.root / f"unfinished-{secrets.token_hex(8)}"
        try:
            target.parent.mkdir(exist_ok=True)
            with open(unfinished, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(target)
        except OSError as error:
            raise unreachable(error, name)
        try:
            folder = os.open(target.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError:
            pass  # Not every file system can.


def changes():
    while page := host.next_changes(1024):
        yield from page


def check_cancelled():
    if host.cancelled():
        raise Err(Error_Retry(failure("the host asked to stop")))


def failure(message, path=None):
    return Failure(message, path, None, None)


def fatal(message, path=None):
    return Err(Error_Fatal(failure(message, path)))


def unreachable(error, path):
    return Err(Error_Retry(failure(f"the remote folder: {error}", path)))
