"""The fields of a model as JSON Schemas of OpenAPI 3.0, which OGC API - Processes 1.0 has for inputs.

Those of pydantic are of a later draft: with null as a type, limits that exclude their number, and references.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_UNKNOWN = {"examples", "discriminator", "propertyNames", "$defs"}  # keywords that OpenAPI 3.0, or the standard, lacks


class _Nullable(GenerateJsonSchema):
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return {"allOf": [self.generate_inner(schema["schema"])], "nullable": True}


@cache
def schemas_of(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of each field of a model, by name. They have no references, so each can stand alone."""
    document = model.model_json_schema(schema_generator=_Nullable)
    return {name: _plain(schema, document.get("$defs", {})) for name, schema in document["properties"].items()}


def _plain(schema: Any, named: Mapping[str, Any]) -> Any:
    """A schema, or a list of schemas, with everything in place. named: what references name."""
    if isinstance(schema, list):
        return [_plain(each, named) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return _plain(named[name], named) | {key: value for key, value in schema.items() if key != "$ref"}
    if schema.get("nullable"):  # which OpenAPI reads only beside a type
        inner = _plain(schema["allOf"][0], named)
        return inner | {key: value for key, value in schema.items() if key != "allOf"}
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _UNKNOWN:
            continue
        if key in ("exclusiveMinimum", "exclusiveMaximum"):
            plain |= {key.replace("exclusiveM", "m"): value, key: True}
        elif key == "const":
            plain["enum"] = [value]
        elif key == "properties":
            plain[key] = {field: _plain(each, named) for field, each in value.items()}
        else:
            plain[key] = value if key in ("default", "enum", "required") else _plain(value, named)
    return plain
