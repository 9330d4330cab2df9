"""The door's description as OpenAPI 3.1, read off the menu and off what the door adds to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shopkeeper import __version__
from shopkeeper.asking import plain
from shopkeeper.doors.http.asking import FORMATS
from shopkeeper.doors.http.described import EVENT, ROWS, Operation
from shopkeeper.events.schema import TABLE_KEYS
from shopkeeper.menu import Parameter
from shopkeeper.words import put, say, word

Schema = dict[str, Any]
_REFUSED = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}}
_MEANS = {"400": say("what was given cannot be read"), "401": say("a key is needed"),
          "403": say("the key, or the page, may not"), "404": say("a name that is not there"),
          "408": say("the body did not come in time"), "409": say("another process writes; come again"),
          "413": say("too large"), "415": say("a form that is not known"),
          "422": say("the log cannot carry this decision"), "429": say("too many; Retry-After says when"),
          "500": say("something is damaged, or a defect of ours"),
          "503": say("the disk takes no more; nothing was stored")}
_TEXTUAL = {"text": ("text/plain", say("text")), "page": ("text/html", say("a page"))}
_GIVEN = {"answer": "Answer", "account": "Account", "ingested": "Ingested", "status": "Status"}


def document(operations: Sequence[Operation], language: str = "en") -> Schema:
    """The whole description.

    Args:
        operations: Every operation of the door.
        language: Of summaries and descriptions: `en` or `zh`.
    """
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, language)
    return {
        "openapi": "3.1.0",
        "info": {"title": "shopkeeper", "version": __version__, "description": put(say(
            "Events in, answers out. Every answer carries its evidence; every refusal says what is wrong, what to try "
            "and why."), language)},
        "paths": paths,
        "components": {"schemas": _schemas(language), "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
            "header": {"type": "apiKey", "in": "header", "name": "X-Shopkeeper-Key"},
            "query": {"type": "apiKey", "in": "query", "name": "key"}}},
    }


def _operation(operation: Operation, language: str) -> Schema:
    found: Schema = {
        "operationId": operation.name, "tags": [operation.group], "summary": word(operation.summary, language),
        "responses": _responses(operation, language), "security": _security(operation)}
    if operation.scope:
        found["x-scope"] = operation.scope
    path = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1,
                                                                     "maxLength": 1000}}]
    parameters = path if "{id}" in operation.path else []
    if not operation.in_body:
        parameters += [_parameter(parameter, language) for parameter in operation.parameters]
    if parameters:
        found["parameters"] = parameters
    body = _body(operation, language)
    if body is not None:
        found["requestBody"] = body
    return found


def _security(operation: Operation) -> list[Schema]:
    if not operation.scope:
        return []
    shown = ["bearer", "header", "basic", *(["query"] if operation.scope == "collect" else [])]
    return [*({name: []} for name in shown), {}]  # a shop without keys is open to its own machine


def _parameter(parameter: Parameter, language: str) -> Schema:
    return {"name": parameter.name, "in": "query", "required": parameter.required,
            "description": word(parameter.description, language), "schema": _schema(parameter, in_query=True)}


def _schema(parameter: Parameter, *, in_query: bool) -> Schema:
    text = {"type": "string", "maxLength": 10_000}
    whole = {"minimum": -10 ** 18 + 1, "maximum": 10 ** 18 - 1}
    pair = {"type": "string", "pattern": "^[^=]+=", "maxLength": 10_000}
    kinds: Mapping[str, Schema] = {
        "text": text, "int": {"type": "integer", **whole}, "float": {"type": "number", **whole},
        "bool": {"type": "boolean"}, "choice": {"type": "string", "enum": list(parameter.choices)},
        "date": {"type": "string", "format": "date"}, "datetime": {"type": "string", "format": "date-time"},
        "texts": {"type": "array", "items": text},
        "pairs": {"type": "array", "items": pair} if in_query else {"type": "object", "additionalProperties": text}}
    schema = dict(kinds[parameter.kind])
    if parameter.default not in (None, "", ()) and not isinstance(parameter.default, Mapping):
        schema["default"] = plain(parameter.default)
    return schema


def _body(operation: Operation, language: str) -> Schema | None:
    if operation.packed:
        file = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        return {"required": True, "description": put(say("The file itself: {names}; also packed with gzip or zstd.",
                                                         names=", ".join(FORMATS)), language),
                "content": {"application/octet-stream": file}}
    if operation.in_body:
        properties = {parameter.name: {**_schema(parameter, in_query=False),
                                       "description": word(parameter.description, language)}
                      for parameter in operation.parameters}
        needed = [parameter.name for parameter in operation.parameters if parameter.required]
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {"required": bool(needed), "content": {"application/json": {
            "schema": {**schema, "required": needed} if needed else schema}}}
    if operation.example is None:
        return None
    content: Schema = {"schema": _taken(operation), "example": operation.example}
    kinds = {"application/json": content}
    if operation.path == "/v1/events":
        kinds["application/x-ndjson"] = {"schema": {"type": "string"}}
        kinds["text/plain"] = content
    return {"required": operation.method != "DELETE", "content": kinds}


def _taken(operation: Operation) -> Schema:
    if operation.path == "/v1/events":
        event = {"$ref": "#/components/schemas/Event"}
        many = {"type": "array", "items": event}
        envelope = {"type": "object", "required": ["events"], "properties": {
            "events": many, "sent_at": {"type": ["string", "number", "null"]}}}
        return {"anyOf": [envelope, many, event]}
    if "{id}" in operation.path or operation.group == "collect":
        return {"type": "object"}
    table = operation.path.split("/")[2]
    row = {"$ref": f"#/components/schemas/{table}"}
    if operation.method == "DELETE":
        return {"type": "array", "items": {"anyOf": [{"type": "string"}, row]}}
    return {"anyOf": [{"type": "array", "items": row}, row]}


def _responses(operation: Operation, language: str) -> Schema:
    done: Schema = {"description": put(say("done"), language)}
    if operation.gives in _TEXTUAL:
        kind, about = _TEXTUAL[operation.gives]
        kind = "text/javascript" if operation.name == "snippet" else kind
        done = {"description": put(about, language), "content": {kind: {"schema": {"type": "string"}}}}
    else:
        content: Schema = {"application/json": {"schema": _given(operation)}}
        if operation.gives in ("answer", "ingested"):
            content["text/csv"] = {"schema": {"type": "string"}}
        done["content"] = content
    wrong = {status: {"description": put(means, language), **_REFUSED} for status, means in _MEANS.items()}
    if operation.gives not in ("answer", "account", "ingested"):
        wrong = {status: wrong[status] for status in ("401", "403", "404", "429", "500", "503")}
    return {"200": done, **wrong}


def _given(operation: Operation) -> Schema:
    whole = {"$ref": f"#/components/schemas/{_GIVEN[operation.gives]}"}
    if not operation.columns:
        return whole
    row = {"type": "object", "properties": {name: _column(kind) for name, kind in operation.columns.items()},
           "required": list(operation.columns)}
    return {"allOf": [whole, {"type": "object", "properties": {"answer": {"type": "array", "items": row}}}]}


def _column(kind: str) -> Schema:
    """The JSON type of an Arrow type; every cell may be null.

    >>> _column("timestamp[us]")
    {'type': ['string', 'null'], 'x-arrow': 'timestamp[us]'}
    """
    names = {"int": "integer", "uint": "integer", "double": "number", "float": "number", "decimal": "number",
             "bool": "boolean", "list": "array", "struct": "object", "map": "object"}
    found = next((name for start, name in names.items() if kind.startswith(start)), "string")
    return {"type": [found, "null"], "x-arrow": kind}


def _schemas(language: str) -> Schema:
    texts = {"type": "array", "items": {"type": "string"}}
    count = {"type": "integer", "minimum": 0}
    counts = dict.fromkeys(("received", "stored", "duplicate", "quarantined"), count)
    result = {"type": "object", "required": ["index", "outcome"], "properties": {
        "index": count, "outcome": {"enum": ["stored", "duplicate", "quarantined"]},
        "reason": {"type": ["string", "null"]}, "detail": {"type": ["string", "null"]},
        "event_id": {"type": ["string", "null"]}}}
    return {
        "Answer": {"type": "object", "required": ["answer", "method", "evidence", "asked", "notes"], "properties": {
            "answer": {"type": "array", "items": {"type": "object"}}, "method": {"type": "string"},
            "evidence": {"type": "object", "required": ["kind", "sentence"]}, "asked": {"type": "object"},
            "notes": texts, "parts": {"type": "object"}}},
        "Account": {"type": "object", "required": [*counts, "results"],
                    "description": put(say("received = stored + duplicate + quarantined; results has the records that "
                                           "were not plainly stored."), language),
                    "properties": {**counts, "success": {"type": "boolean"},
                                   "results": {"type": "array", "items": result}}},
        "Ingested": {"type": "object", "required": list(counts), "properties": {**counts, "reasons": {"type": "object"},
                                                                               "notes": texts}},
        "Status": {"type": "object"},
        "Refusal": {"type": "object", "required": ["refusal", "what", "try", "why"], "properties": {
            "refusal": {"type": "string"}, "what": {"type": "string"}, "try": texts,
            "why": {"type": ["string", "null"]}}},
        "Event": {"type": "object", "required": ["event"], "properties": {
            "event": {"type": "string"}, **{name: {"type": ["string", "number", "null"]}
                                            for name in ("event_id", "ts", "customer_id", "anonymous_id", "item_id")}},
            "examples": [EVENT]},
        **{table: {"type": "object", "required": [key], "properties": {key: {"type": "string"}},
                   "examples": [ROWS[table]]} for table, key in TABLE_KEYS.items()},
    }
