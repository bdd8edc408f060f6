"""A server that reads as some do: the body of a method that has none it takes for the next request, and
where a client asks whether to send a body it answers at once, or never. Each thing that it takes for a
request is one line of its output: method, path and length of the body."""

import asyncio
import sys


async def request(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
    fields = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, value = line.split(b":", 1)
        fields[name.strip().lower()] = value.strip()
    asks = b"expect" in fields
    # What a path says is for the test: whether bodies are read, and whether they are asked for.
    if path == b"/ok/silent" and asks:
        print(method.decode(), path.decode(), "-", flush=True)
        return await reader.read()
    if path == b"/ok/asking" and asks:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    reads = method in (b"PUT", b"POST") and not asks or path in (b"/ok/reads", b"/ok/asking", b"/ok/silent")
    body = b""
    if reads and fields.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif reads:
        body = await reader.readexactly(int(fields.get(b"content-length", 0)))
    print(method.decode(), path.decode(), len(body), flush=True)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


async def serve(reader, writer):
    try:
        while True:
            await request(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, ["0.0.0.0", "::"], int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
