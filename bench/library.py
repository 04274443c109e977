"""The part of mote.h that is needed to time forward passes from Python, through ctypes."""
import ctypes
import time

import numpy as np


def pointers(*names):
    return [(name, ctypes.c_void_p) for name in names]


def words(*names):
    return [(name, ctypes.c_uint32) for name in names]


class DeviceDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("index", ctypes.c_int32), ("name", ctypes.c_char_p),
                *pointers("cache_directory", "log", "log_user", "vulkan")]


class ModelDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("path", ctypes.c_char_p), ("data", ctypes.c_void_p),
                ("size", ctypes.c_uint64), ("use_fd", ctypes.c_int32), ("fd", ctypes.c_int32),
                ("offset", ctypes.c_uint64), *pointers("read", "read_user", "name")]


class SessionDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), *words("width", "height", "steps"), ("recipe", ctypes.c_char_p),
                ("memory_budget", ctypes.c_uint64),
                *words("tile_width", "tile_height", "submission_milliseconds", "batch")]


class Tensor(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("shape", ctypes.c_uint32 * 4), ("data", ctypes.c_void_p)]


class MoteError(Exception):
    pass


def described(structure, **fields):
    return structure(struct_size=ctypes.sizeof(structure), **fields)


def tensorOf(array):
    """The array must live as long as the tensor is bound."""
    return described(Tensor, shape=(ctypes.c_uint32 * 4)(*array.shape), data=array.ctypes.data)


class Session:
    """A model's first recipe at the size of `x` [1, C, H, W], from that state and the condition, if any; with the kernels
    that rules choose, or tuned."""

    def __init__(self, library, model, x, condition=None, device=None, tuned=False):
        self.lib = ctypes.CDLL(library)
        self.lib.mote_last_message.restype = ctypes.c_char_p
        self.device, self.model, self.session = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        name = device.encode() if device else None
        self.call("mote_device_create", ctypes.byref(described(DeviceDesc, index=-1, name=name)),
                  ctypes.byref(self.device))
        self.call("mote_model_open", self.device, ctypes.byref(described(ModelDesc, path=model.encode())),
                  ctypes.byref(self.model))
        height, width = x.shape[2:]
        session = described(SessionDesc, width=width, height=height)
        if tuned:
            self.call("mote_model_tune", self.model, ctypes.byref(session), None, None)
        self.call("mote_session_create", self.model, ctypes.byref(session), ctypes.byref(self.session))
        self.arrays = {"x_start": np.ascontiguousarray(x, np.float32)}
        if condition is not None:
            self.arrays["condition"] = np.ascontiguousarray(condition, np.float32)
        for port, array in self.arrays.items():
            self.call("mote_session_bind_tensor", self.session, port.encode(), ctypes.byref(tensorOf(array)))
        self.sample = np.empty(x.shape, np.float32)
        self.call("mote_session_bind_output_tensor", self.session, ctypes.byref(tensorOf(self.sample)))
        self.call("mote_session_prepare", self.session, None)

    def call(self, function, *arguments):
        if getattr(self.lib, function)(*arguments) != 0:
            raise MoteError("%s: %s" % (function, self.lib.mote_last_message().decode()))

    def run(self):
        """Milliseconds of a whole run of the recipe, by the host's clock: upload, every pass, readback."""
        start = time.perf_counter()
        self.call("mote_session_run", self.session, None)
        return 1e3 * (time.perf_counter() - start)

    def evaluate(self):
        """The network's output at the recipe's first timestep."""
        output = np.empty_like(self.sample)
        self.call("mote_session_evaluate", self.session, 0, ctypes.byref(tensorOf(output)))
        return output

    def close(self):
        self.lib.mote_session_destroy(self.session)
        self.lib.mote_model_destroy(self.model)
        self.lib.mote_device_destroy(self.device)
