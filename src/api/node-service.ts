import { Node } from "../gen/berth/v1/node_pb.js";
import type { NodeInventory } from "../observe/inventory.ts";
import { nodeMessage } from "./answers.ts";
import { type Service, service } from "./handlers.ts";

export function nodeService(inventory: Pick<NodeInventory, "info">): Service {
  return service(Node, { info: async () => nodeMessage(await inventory.info()) });
}
