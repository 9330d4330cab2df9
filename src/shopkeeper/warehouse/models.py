"""Fitted models on disk: safetensors for arrays, JSON for the rest; never pickle.

A model is a folder `models/<room>/<question>/<version>/`, complete before the manifest names it. The last three
versions stay, so that `rollback` has somewhere to go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shopkeeper.errors import Damaged
from shopkeeper.warehouse.manifest import Installed, Manifest
from shopkeeper.warehouse.store import Store, Writer, durable_write
from shopkeeper.words import say

KEPT = 3
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A fitted method as `learn` installed it.

    Attributes:
        question: `room.question`.
        version: A number as text, growing.
        arrays: What the method learned.
        record: Method, parameters, trial, data fingerprint, code version: plain data.
    """

    question: str
    version: str
    arrays: Arrays
    record: Mapping[str, Any]


def folder(store: Store, question: str, version: str) -> Path:
    """Where a version of a question's model lies."""
    return store.path / "models" / Path(*question.split(".")) / version


def install(writer: Writer, manifest: Manifest, question: str, arrays: Arrays, record: Mapping[str, Any]) -> Manifest:
    """Write a model and return the manifest that serves it; the caller commits."""
    from safetensors.numpy import save

    known = manifest.models.get(question, Installed("", ()))
    version = str(1 + max((int(v) for v in known.versions), default=0))
    place = folder(writer.store, question, version)
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    durable_write(place / "weights.safetensors", save(solid))
    durable_write(place / "model.json", json.dumps(record, ensure_ascii=False, indent=1).encode("utf-8"))
    serving = known.versions.index(known.serving) + 1 if known.serving in known.versions else len(known.versions)
    kept = (*known.versions[:serving], version)[-KEPT:]  # what was rolled away from does not come back
    return replace(manifest, models={**manifest.models, question: Installed(version, kept)})


def rolled_back(manifest: Manifest, question: str) -> Manifest | None:
    """The manifest that serves the version before the serving one; None where there is none."""
    known = manifest.models.get(question)
    if known is None or known.serving not in known.versions or known.versions.index(known.serving) == 0:
        return None
    before = known.versions[known.versions.index(known.serving) - 1]
    return replace(manifest, models={**manifest.models, question: Installed(before, known.versions)})


def load(store: Store, manifest: Manifest, question: str) -> Model | None:
    """The serving model of a question.

    Raises:
        Damaged: Its files are missing or not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    known = manifest.models.get(question)
    if known is None:
        return None
    place = folder(store, question, known.serving)
    try:
        record = json.loads((place / "model.json").read_text("utf-8"))
        return Model(question, known.serving, load_file(place / "weights.safetensors"), record)
    except (OSError, ValueError, SafetensorError) as wrong:
        raise Damaged(say("model {version} of {question} cannot be read.", version=known.serving, question=question),
                      do=[say("shopkeeper learn SHOP --force"), say("shopkeeper learn SHOP --rollback")],
                      why=str_reason(wrong)) from wrong


def str_reason(wrong: Exception) -> Any:
    """Why a file could not be read, in the system's own words."""
    return say("{wrong}", wrong=str(wrong)[:200])
