import { Node } from "../gen/berth/v1/node_pb.js";
import type { NodeInventory } from "../observe/inventory.ts";
import { nodeMessage } from "./answers.ts";
import { type Service, service } from "./handlers.ts";

/** Whether the node takes new sandboxes; it may be set. */
export interface DrainPort {
  active: boolean;
}

/** `drained` is told after each change. */
export function nodeService(inventory: Pick<NodeInventory, "info">, drain: DrainPort, drained: () => void): Service {
  const setDrain = (active: boolean): object => {
    drain.active = active;
    drained();
    return {};
  };
  return service(Node, {
    info: async () => nodeMessage(await inventory.info(), drain.active),
    drain: () => setDrain(true),
    undrain: () => setDrain(false),
  });
}
