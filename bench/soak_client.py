"""The client of the soak: runs inside the client pod, prints one JSON object at the end.

64 keep-alive connections and connections for one request side by side, over both families. The
rate is bounded: at most 6,000 ports to one server are in TIME_WAIT, a fifth of what there is.
"""

import asyncio
import json
import sys
import time

KEEP_ALIVE = 32  # connections, for each family
KEEP_ALIVE_PAUSE = 0.15
OPEN_RATE = 90  # new connections a second, for each family and way to close
TIMEOUT = 10
HEAD = "GET /status/200?{n} HTTP/1.1\r\nHost: server\r\n{more}\r\n"


class Stream:
    """Requests of one kind over one family."""

    def __init__(self, name):
        self.name, self.done, self.failed, self.gap, self.slowest = name, 0, 0, 0.0, 0.0
        self.errors, self.last = [], time.monotonic()

    async def one(self, request):
        start = time.monotonic()
        try:
            await asyncio.wait_for(request, TIMEOUT)
            self.done += 1
        except Exception as error:  # every kind of failure counts, and says what it was
            self.failed += 1
            if len(self.errors) < 5:
                self.errors.append(f"{type(error).__name__}: {error}")
            return False
        now = time.monotonic()
        self.gap, self.slowest = max(self.gap, now - self.last), max(self.slowest, now - start)
        self.last = now
        return True

    def told(self):
        gap = max(self.gap, time.monotonic() - self.last)
        return {"done": self.done, "failed": self.failed, "longest_gap_s": round(gap, 3),
                "slowest_s": round(self.slowest, 3), "errors": self.errors}


async def exchange(reader, writer, number, more=""):
    writer.write(HEAD.format(n=number, more=more).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head[:80].decode(errors="replace"))
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)


async def keep_alive(stream, address, end):
    connection, number = None, 0
    while time.monotonic() < end:
        async def request():
            nonlocal connection
            if connection is None:
                connection = await asyncio.open_connection(address, 80)
            await exchange(*connection, number)
        number += 1
        if not await stream.one(request()) and connection:
            connection[1].close()
            connection = None
        await asyncio.sleep(KEEP_ALIVE_PAUSE)
    if connection:
        connection[1].close()


async def once(address, number, server_closes):
    reader, writer = await asyncio.open_connection(address, 80)
    try:
        await exchange(reader, writer, number, "Connection: close\r\n" if server_closes else "")
        if server_closes and await reader.read():
            raise RuntimeError("bytes after the response")
    finally:
        writer.close()


async def open_often(stream, address, end, server_closes):
    tasks, number, start = set(), 0, time.monotonic()
    while time.monotonic() < end:
        number += 1
        task = asyncio.ensure_future(stream.one(once(address, number, server_closes)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(max(0, start + number / OPEN_RATE - time.monotonic()))
    await asyncio.gather(*tasks)


async def main(seconds, addresses):
    end, streams, work = time.monotonic() + seconds, [], []
    for address in addresses:
        family = "IPv6" if ":" in address else "IPv4"
        streams += [Stream(f"{family} {kind}") for kind in ("keep-alive", "client closes", "server closes")]
        work += [keep_alive(streams[-3], address, end) for _ in range(KEEP_ALIVE)]
        work += [open_often(streams[-2], address, end, False), open_often(streams[-1], address, end, True)]
    await asyncio.gather(*work)
    print(json.dumps({stream.name: stream.told() for stream in streams}))


asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
