"""A server of gRPC and a client, both of Python's grpcio. Messages are plain bytes.

    calls.py server PORT             health, /echo.Echo/{Unary,Stream,Collect,Chat}
    calls.py client ADDRESS CALL...  a line for each call: its name, its status, what came
    calls.py hold ADDRESS            a Chat that stays open, a line for each thing that comes of it
"""

import queue
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

LARGE = 8 << 20
SERVICE = "echo.Echo"
LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def unary(request, context):
    """Who asked, as the server sees it, and how much."""
    print("unary", context.peer(), len(request), flush=True)
    context.set_trailing_metadata((("x-trailer", "kept"),))
    if request == b"missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
    return request if len(request) > 100 else context.peer().encode()


def stream(request, context):
    for number in range(5):
        yield str(number).encode()


def collect(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, context):
    for request in requests:
        print("chat", request.decode(), flush=True)
        yield b"re: " + request


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(32), options=LIMITS)
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    well = health.HealthServicer()
    well.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(well, server)
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def call(channel, name):
    wait = {"timeout": 20, "wait_for_ready": False}
    if name == "Health":
        asked = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), **wait)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(asked.status)
    if name in ("Unary", "Missing", "Large", "Trailers"):
        said = {"Large": b"x" * LARGE, "Missing": b"missing"}.get(name, b"hello")
        answer, told = channel.unary_unary(f"/{SERVICE}/Unary").with_call(said, **wait)
        if name == "Trailers":
            return dict(told.trailing_metadata()).get("x-trailer")
        return len(answer) if name == "Large" else answer.decode()
    if name == "Stream":
        return b",".join(channel.unary_stream(f"/{SERVICE}/Stream")(b"", **wait)).decode()
    if name == "Collect":
        return channel.stream_unary(f"/{SERVICE}/Collect")(iter([b"ab", b"cde"]), **wait).decode()
    if name == "Chat":
        return b",".join(channel.stream_stream(f"/{SERVICE}/Chat")(iter([b"a", b"b"]), **wait)).decode()
    if name == "Late":
        silent: queue.Queue[bytes | None] = queue.Queue()
        try:
            return list(channel.stream_stream(f"/{SERVICE}/Chat")(iter(silent.get, None), timeout=0.5))
        finally:
            silent.put(None)
    return channel.unary_unary(f"/{SERVICE}/{name}")(b"", **wait)


def ask(address, names):
    options = [*LIMITS, ("grpc.keepalive_time_ms", 1000), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        for name in names:
            try:
                print(name, "OK", call(channel, name), flush=True)
            except grpc.RpcError as error:
                print(name, error.code().name, error.details(), flush=True)


def hold(address):
    """Says each line of its input in one call that stays open, until that call ends."""
    said: queue.Queue[bytes | None] = queue.Queue()
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        answers = channel.stream_stream(f"/{SERVICE}/Chat")(iter(said.get, None))
        try:
            for line in sys.stdin:
                said.put(line.strip().encode())
                print("came", next(answers).decode(), flush=True)
        except grpc.RpcError as error:
            print("ended", error.code().name, flush=True)
        # The same channel, once more.
        try:
            print("then OK", channel.unary_unary(f"/{SERVICE}/Unary")(b"", timeout=20).decode(), flush=True)
        except grpc.RpcError as error:
            print("then", error.code().name, flush=True)


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    {"server": lambda: serve(where), "client": lambda: ask(where, rest), "hold": lambda: hold(where)}[what]()
