"""The time that a network will take on a device, from figures of `mote bench --json` measured there on another model."""
import json

from .data import DataError
from .network import multiplyAdds


def latency(network, benches, passes, height, width):
    """Rows: device and predicted milliseconds, at the rate that `mote bench --json` measured for a model of this kind."""
    rows = []
    for path in benches:
        try:
            with open(path, encoding="utf-8") as file:
                bench = json.load(file)
            rate = bench["operations"] / bench["next_image_ms"]["median"]  # operations a millisecond
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError("%s is no output of `mote bench --json`: %r" % (path, error)) from error
        predicted = 2 * multiplyAdds(network, height, width) * passes / rate
        rows.append([bench["device"], "%dx%d" % (width, height), passes, "%.0f ms" % predicted,
                     "%s, %dx%d" % (bench["model"], bench["width"], bench["height"])])
    return rows
