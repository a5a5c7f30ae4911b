# SPDX-License-Identifier: BSD-2-Clause
"""Snapshots, clones, rollbacks, renames, deletes and growth under kill -9.

kill9_verbs.py load STORE SOCKET STATE SEED: until the server is gone.  When
all have begun, the file STATE.running is there.
kill9_verbs.py verify STORE SOCKET STATE: what was acknowledged is there, what
was asked for is there wholly or not at all, and nothing else is.

Three threads have a volume each, with its snapshots and clones, and know
what every block of all of them holds: a generation, 0 for zeros; the first one
lets the store grow, too, and knows its capacity.  STATE is that knowledge, with what was in flight at the end.
"""
import json
import os
import random
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../plugin"))
import nbd
from control import Control

BLOCK = 4096
BLOCKS = 96
TREES = ("tree0", "tree1", "tree2")
BUSY = 5


class Gone(Exception):
    """The server has been killed."""


def new_tree(name):
    return {"name": name, "generation": 0, "serial": 0,
            "kept": None,  # the snapshot that undo would swap in
            "capacity": None,  # of the store; None: another tree knows it
            "contents": {name: [0] * BLOCKS}}


def content(tree, block, generation):
    if generation == 0:
        return bytes(BLOCK)
    return struct.pack("<8sQQQ", tree.encode(), block, generation,
                       0) * (BLOCK // 32)


class Worker:
    """One tree; self.flying is the request that was not answered yet."""

    def __init__(self, store, socket, tree, seed):
        self.socket, self.tree = socket, tree
        self.rnd = random.Random(seed)
        self.flying = None
        # seldom: a store that has just grown has no log to replay
        self.grows = tree["capacity"] and self.rnd.randrange(4) == 0
        self.done = 0
        self.error = None
        self.control = Control(store)

    def name(self, kind):
        self.tree["serial"] += 1
        return f"{kind}{self.tree['serial']}"

    def volumes(self):
        return [n for n in self.tree["contents"] if "@" not in n]

    def snapshots(self, volume=None):
        return [n for n in self.tree["contents"] if "@" in n
                and volume in (None, n.split("@")[0])]

    # ---- requests ----

    def verb(self, verb, after, **args):
        """after(data of the answer) changes self.tree."""
        self.flying = {"verb": verb, "args": args}
        for i in range(6000):
            try:
                answer = self.control.call(verb, **args)
            except (OSError, ValueError):
                raise Gone
            if answer is None:
                raise Gone
            if answer["ok"] or answer["exit"] != BUSY:
                break
            time.sleep(0.01)  # the writer's connection is about to close
        assert answer["ok"], (verb, args, answer)
        after(answer["data"])
        self.flying = None
        self.done += 1

    def write(self):
        volume = self.rnd.choice(self.volumes())
        blocks = self.tree["contents"][volume]
        h = nbd.NBD()
        try:
            h.connect_uri(f"nbd+unix:///{volume}?socket={self.socket}")
            for i in range(self.rnd.randrange(1, 30)):
                self.tree["generation"] += 1
                generation = self.tree["generation"]
                at = self.rnd.randrange(BLOCKS)
                self.flying = {"write": volume, "block": at,
                               "generation": generation}
                h.pwrite(content(self.tree["name"], at, generation),
                         at * BLOCK)
                blocks[at] = generation
                self.flying = None
                self.done += 1
            h.shutdown()
        except nbd.Error as e:
            assert not h.aio_is_ready(), f"an error reply: {e}"
            raise Gone from e

    def snapshot(self):
        volume = self.rnd.choice(self.volumes())
        name = f"{volume}@{self.name('s')}"
        self.verb("snapshot", lambda data: copy(self.tree, volume, name),
                  names=[name])

    def clone(self):
        snapshot = self.rnd.choice(self.snapshots())
        name = f"{self.tree['name']}-{self.name('c')}"
        self.verb("clone", lambda data: copy(self.tree, snapshot, name),
                  snapshot=snapshot, names=[name])

    def rollback(self):
        snapshot = self.rnd.choice(self.snapshots(self.tree["name"]))
        self.verb("rollback",
                  lambda data: roll(self.tree, snapshot, data[0]["kept"]),
                  names=[snapshot])

    def undo(self):
        self.verb("undo", lambda data: undo(self.tree),
                  names=[self.tree["name"]])

    def rename(self):
        """A snapshot, or a clone with its snapshots."""
        clones = self.volumes()[1:]
        if clones and self.rnd.randrange(3) == 0:
            old = self.rnd.choice(clones)
            new = f"{self.tree['name']}-{self.name('c')}"
        else:
            old = self.rnd.choice(self.snapshots())
            new = f"{old.split('@')[0]}@{self.name('s')}"
        self.verb("rename", lambda data: rename(self.tree, old, new),
                  names=[old], to=[new])

    def grow(self):
        capacity = self.tree["capacity"] + self.rnd.randrange(1, 64 << 20)
        self.verb("set", lambda data: self.tree.update(capacity=capacity),
                  settings={"capacity": capacity})

    def delete(self):
        """Snapshots, or a clone with all of its snapshots."""
        clones = self.volumes()[1:]
        if clones and self.rnd.randrange(3) == 0:
            name = self.rnd.choice(clones)
        else:
            name = self.rnd.choice(self.snapshots())
        self.verb("delete", lambda data: remove(self.tree, name),
                  names=[name], recursive=True)

    def step(self):
        choices = [self.write, self.snapshot]
        if self.snapshots():
            choices += [self.delete, self.clone, self.rename]
        if self.snapshots(self.tree["name"]):
            choices.append(self.rollback)
        if self.tree["kept"] in self.tree["contents"]:
            choices.append(self.undo)
        if len(self.tree["contents"]) > 12:
            choices = [self.delete]
        if self.grows and self.rnd.randrange(8) == 0:
            choices = [self.grow]
        self.rnd.choice(choices)()

    def run(self):
        try:
            while True:
                self.step()
        except Gone:
            pass
        except Exception as e:  # told by the main thread
            self.error = f"{self.tree['name']}: {e!r}"


# ---- what the verbs do to a tree ----

def copy(tree, source, name):
    tree["contents"][name] = list(tree["contents"][source])


def roll(tree, snapshot, kept):
    copy(tree, tree["name"], kept)
    copy(tree, snapshot, tree["name"])
    tree["kept"] = kept


def undo(tree):
    contents, head, kept = tree["contents"], tree["name"], tree["kept"]
    contents[head], contents[kept] = contents[kept], contents[head]


def rename(tree, old, new):
    def renamed(name):
        if name == old or (name or "").startswith(old + "@"):
            return new + name[len(old):]
        return name
    tree["contents"] = {renamed(n): c for n, c in tree["contents"].items()}
    tree["kept"] = renamed(tree["kept"])


def remove(tree, name):
    for n in list(tree["contents"]):
        if n == name or n.startswith(name + "@"):
            del tree["contents"][n]


def capacity_now(store):
    return Control(store).call("status")["data"]["capacity"]


def load(store, socket, path, seed):
    trees = [new_tree(name) for name in TREES]
    trees[0]["capacity"] = capacity_now(store)
    if os.path.exists(path):
        with open(path) as f:
            trees = [s["tree"] for s in json.load(f)]
    workers = [Worker(store, socket, tree, f"{seed}.{tree['name']}")
               for tree in trees]
    threads = [threading.Thread(target=w.run) for w in workers]
    for t in threads:
        t.start()
    open(path + ".running", "w").close()
    for t in threads:
        t.join()
    os.remove(path + ".running")
    with open(path, "w") as f:
        json.dump([{"tree": w.tree, "flying": w.flying, "done": w.done}
                   for w in workers], f)
    for w in workers:
        if w.error:
            sys.exit(w.error)


# ---- verify ----

def read_back(socket, tree, name):
    """The generations that are there, or a failure."""
    h = nbd.NBD()
    h.connect_uri(f"nbd+unix:///{name}?socket={socket}")
    data = h.pread(BLOCKS * BLOCK, 0)
    h.shutdown()
    ret = []
    for block in range(BLOCKS):
        part = data[block * BLOCK:(block + 1) * BLOCK]
        generation = struct.unpack_from("<Q", part, 16)[0]
        if part != content(tree["name"], block, generation):
            sys.exit(f"{name}: block {block} is torn or of another place")
        ret.append(generation)
    return ret


def outcomes(tree, flying, found):
    """The trees that may be there: as it was, and as it would become."""
    yield tree
    if not flying:
        return
    after = json.loads(json.dumps(tree))
    if "write" in flying:
        after["contents"][flying["write"]][flying["block"]] = \
            flying["generation"]
        yield after
        return
    verb, args = flying["verb"], flying["args"]
    if verb == "snapshot":
        copy(after, args["names"][0].split("@")[0], args["names"][0])
    elif verb == "clone":
        copy(after, args["snapshot"], args["names"][0])
    elif verb == "delete":
        remove(after, args["names"][0])
    elif verb == "undo":
        undo(after)
    elif verb == "rename":
        rename(after, args["names"][0], args["to"][0])
    elif verb == "set":
        after["capacity"] = args["settings"]["capacity"]
    elif verb == "rollback":
        # how the old head is called was in the answer that did not come
        new = [n for n in found if n not in tree["contents"]
               and n.startswith(tree["name"] + "@before-rollback-")]
        if len(new) != 1:
            return
        roll(after, args["names"][0], new[0])
    yield after


def verify_tree(socket, state, names, capacity):
    tree, flying = state["tree"], state["flying"]
    own = [n for n in names
           if n.split("@")[0].split("-")[0] == tree["name"]]
    found = {n: read_back(socket, tree, n) for n in own}
    for outcome in outcomes(tree, flying, found):
        if outcome["contents"] == found and \
                outcome["capacity"] in (None, capacity):
            state["tree"], state["flying"] = outcome, None
            return
    for n in sorted(set(found) | set(tree["contents"])):
        if found.get(n) != tree["contents"].get(n):
            print(f"{n}: is {found.get(n)}, was {tree['contents'].get(n)}")
    sys.exit(f"{tree['name']}: not as acknowledged; in flight: {flying}; "
             f"capacity {capacity}, was {tree['capacity']}")


def verify(store, socket, path):
    with open(path) as f:
        states = json.load(f)
    control = Control(store)
    names = [v["name"] for v in control.call("list")["data"]]
    capacity = capacity_now(store)
    for state in states:
        verify_tree(socket, state, names, capacity)
    with open(path, "w") as f:
        json.dump(states, f)
    print(f"{sum(s['done'] for s in states)} verbs and writes, "
          f"{sum(len(s['tree']['contents']) for s in states)} volumes and "
          "snapshots as acknowledged")


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(*sys.argv[2:6])
    else:
        verify(*sys.argv[2:5])
