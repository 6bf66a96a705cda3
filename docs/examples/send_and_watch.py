"""Hands a message to the zipnetd of this host and watches it to its end, through restarts of the daemon.

    pip install grpcio grpcio-tools
    python3 -m grpc_tools.protoc -I proto/proto --python_out=. --grpc_python_out=. zipnet/v1/control.proto
    PYTHONPATH=. python3 docs/examples/send_and_watch.py "some text"

Run in the root of the repository; anywhere else copy control.proto and name its folder by -I. The socket is that of the
system's daemon, or ZIPNET_SOCKET. docs/agents.md explains each step.
"""

import os
import sys
import time
import uuid

import grpc
from zipnet.v1 import control_pb2 as pb
from zipnet.v1.control_pb2_grpc import ControlStub

SOCKET = os.path.abspath(os.environ.get("ZIPNET_SOCKET", "/run/zipnet/zipnetd.sock"))
ATTEMPTS = 10
PAUSE = 1.0  # seconds, where the daemon does not say
TIMEOUT = 10.0  # seconds; an answer includes a write to disk
TERMINAL = {
    pb.MESSAGE_STATE_PUBLISHED,
    pb.MESSAGE_STATE_CANCELLED,
    pb.MESSAGE_STATE_EXPIRED,
    pb.MESSAGE_STATE_FAILED,
}
MAY_PASS = {"QueueFull", "TooManyCallers", "Draining", "Lagged", "InstanceUnknown"}


def may_pass(error):
    """Seconds until trying again makes sense; None: it never does."""
    metadata = dict(error.trailing_metadata() or ())
    reason = metadata.get("zipnet-reason")
    if reason is None:
        # No daemon said this: it was lost, is restarting, or did not answer in time.
        lost = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return PAUSE if lost else None
    if reason not in MAY_PASS:
        return None
    return int(metadata.get("zipnet-retry-after-ms", PAUSE * 1000)) / 1000


def word(state):
    return pb.MessageState.Name(state).removeprefix("MESSAGE_STATE_").lower()


def send(control, text):
    """Hands the text over, however often it takes: the request id makes one message of all attempts."""
    request = pb.SendRequest(
        payload=text.encode(),
        request_id=str(uuid.uuid4()),  # keep it with your own state, if you want to go on after a crash of your own
        ttl_ms=600_000,
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # From here on it is the daemon's job, also after a power loss.
            return control.Send(request, timeout=TIMEOUT).message_id
        except grpc.RpcError as error:
            pause = may_pass(error)
            if pause is None or attempt == ATTEMPTS:
                raise
            time.sleep(pause)


def watch(control, message_id):
    """The message at its end."""
    cursor, attempt = "", 0  # after an interruption the stream goes on at the cursor
    while True:
        before, attempt = cursor, attempt + 1
        try:
            stream = control.Watch(pb.WatchRequest(message_id=message_id, cursor=cursor))
            for item in stream:
                # What ended before the stream began is not told by it. Asked once it has begun, so that nothing falls
                # between.
                if cursor == before:
                    now = control.Get(pb.GetRequest(message_id=message_id), timeout=TIMEOUT)
                    if now.state in TERMINAL:
                        stream.cancel()
                        return now
                cursor = item.cursor
                if item.HasField("message"):
                    print(word(item.message.state), flush=True)
                    if item.message.state in TERMINAL:
                        stream.cancel()
                        return item.message
        except grpc.RpcError as error:
            if may_pass(error) is None or attempt >= ATTEMPTS:
                raise
        if cursor != before:
            attempt = 0
        time.sleep(PAUSE)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: send_and_watch.py TEXT")
    options = [
        # Without a name grpcio makes one of the socket's path, which the daemon's HTTP/2 refuses as malformed.
        ("grpc.default_authority", "localhost"),
        # Notices within half a minute that a silent daemon is no more.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    with grpc.insecure_channel("unix://" + SOCKET, options=options) as channel:
        control = ControlStub(channel)
        message_id = send(control, sys.argv[1])
        print("accepted as", message_id, flush=True)
        message = watch(control, message_id)
    if message.state != pb.MESSAGE_STATE_PUBLISHED:
        # `exposed` and `unknown` are for you to decide about; sending again is a new message with a new request id.
        sys.exit(f"{word(message.state)} {message.reason}")
    print(f"published in round {message.round}, slot {message.slot}")


if __name__ == "__main__":
    main()
