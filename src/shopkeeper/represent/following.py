"""Where the course of a training is written down: in TensorBoard's files, at Weights & Biases, or at MLflow."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from shopkeeper.errors import MissingExtra
from shopkeeper.words import say

__all__ = ["Following", "Run", "Service", "following"]

Service = Literal["tensorboard", "wandb", "mlflow"]
_PROJECT = "shopkeeper"  # the project of Weights & Biases, the experiment of MLflow


class Run(Protocol):
    """One training."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after so many epochs."""
        ...

    def end(self) -> None:
        """Nothing follows."""
        ...


class Following(Protocol):
    """Somebody who writes trainings down."""

    runs: int

    def begin(self, name: str, facts: Mapping[str, Any]) -> Run:
        """A training begins; `facts` are its settings, as JSON can hold them."""
        ...


def following(service: Service, folder: Path) -> Following:
    """Who writes to a service; TensorBoard's files go into the folder, and need no package.

    Raises:
        MissingExtra: The service's package is not installed.
    """
    if service == "tensorboard":
        return _Files(folder)
    if find_spec(service) is None:
        raise MissingExtra(say("a training is written to {service} by its package, which is not installed.",
                               service=service),
                           do=[say("pip install {service}", service=service), say("--log-to tensorboard")],
                           why=say("the files of TensorBoard need no package."))
    return _WeightsAndBiases(folder) if service == "wandb" else _MLflow()


class _Files:
    """TensorBoard's event files, a folder a training."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0

    def begin(self, name: str, facts: Mapping[str, Any]) -> Run:
        self.runs += 1
        return _File(self.folder / name)


class _File:
    """A file of records: length (uint64) and its checksum, then an `Event` message and its checksum, little-endian.

    Source:
        TensorFlow, core/util/event.proto and core/framework/summary.proto (the field numbers); TFRecord (the frame).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns():020d}.shopkeeper").open("wb")
        self._write(_text(3, "brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        summary = b"".join(_bytes(1, _text(1, tag) + b"\x15" + struct.pack("<f", value))
                           for tag, value in values.items())
        self._write(b"\x10" + _varint(step) + _bytes(5, summary))
        self._file.flush()

    def end(self) -> None:
        self._file.close()

    def _write(self, what: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + what
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _table() -> list[int]:
    """CRC-32C, the reflected polynomial 0x82F63B78 (RFC 3720, B.4)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, rotated by 15 bits and shifted, as TFRecord masks it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class _WeightsAndBiases:
    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self._service = folder, 0, import_module("wandb")

    def begin(self, name: str, facts: Mapping[str, Any]) -> Run:
        self.runs += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        return _Logged(self._service.init(project=_PROJECT, name=name, config=dict(facts), dir=str(self.folder),
                                          reinit="finish_previous"))


class _Logged:
    def __init__(self, run: Any) -> None:
        self._run = run

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self) -> None:
        self.runs, self._client = 0, import_module("mlflow").MlflowClient()

    def begin(self, name: str, facts: Mapping[str, Any]) -> Run:
        self.runs += 1
        found = self._client.get_experiment_by_name(_PROJECT)
        experiment = self._client.create_experiment(_PROJECT) if found is None else found.experiment_id
        run = self._client.create_run(experiment, run_name=name).info.run_id
        for fact, value in facts.items():
            self._client.log_param(run, fact, value)
        return _Kept(self._client, run)


class _Kept:
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name.replace("@", "-"), value, step=step)  # MLflow refuses the sign

    def end(self) -> None:
        self._client.set_terminated(self._run)
