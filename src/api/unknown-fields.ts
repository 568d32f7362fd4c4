import type { DescMessage } from "@bufbuild/protobuf";
import { isReflectList, isReflectMap, isReflectMessage, reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors.ts";

/** What a newer caller asks for in fields that this berthd does not have must be refused, never dropped. */
export function unknownFields(schema: DescMessage, message: ReflectMessage["message"]): Violation[] {
  return inMessage(reflect(schema, message), "");
}

function inMessage(message: ReflectMessage, path: string): Violation[] {
  const own = (message.getUnknown() ?? []).map(({ no }) => ({
    field: path === "" ? `#${no}` : `${path}.#${no}`,
    rule: `${message.desc.typeName} has no field ${no} that this berthd knows`,
    value: `field ${no}`,
    allowed: "leave it out, or call a berthd that knows it",
  }));
  const inner = message.fields.flatMap((field) => {
    if (!message.isSet(field)) return [];
    return inValue(message.get(field), path === "" ? field.jsonName : `${path}.${field.jsonName}`);
  });
  return [...own, ...inner];
}

function inValue(value: unknown, path: string): Violation[] {
  if (isReflectMessage(value)) return inMessage(value, path);
  if (isReflectList(value)) return [...value].flatMap((item, index) => inValue(item, `${path}[${index}]`));
  if (isReflectMap(value)) return [...value].flatMap(([key, item]) => inValue(item, `${path}.${String(key)}`));
  return [];
}
