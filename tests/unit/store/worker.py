"""A process that stores an image: python -m tests.unit.store.worker SINK SEED [stop]."""

import sys
import threading

from imgverify.store.sink import open_sink
from tests.unit.store.images import deliver, image


def main(sink_text: str, seed: str, stop: str = "") -> None:
    """Deliver the image, or stop in the middle of it, and say so on standard output."""
    sink = open_sink(sink_text)
    made = image(seed)
    if not stop:
        deliver(sink, made)
        return
    sink.begin(made.blobs)
    whole, half = made.layers
    with sink.part(whole) as part:
        part.write(made.bytes_of(whole))
        part.complete()
    with sink.part(half) as part:
        part.write(made.bytes_of(half)[:1000])
        sys.stdout.write("stopped\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
