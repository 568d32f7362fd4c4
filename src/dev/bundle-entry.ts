// What is shipped is one file that is berthd or berth by the name it is called.
import { basename } from "node:path";

if (basename(process.argv[1] ?? "") === "berthd") {
  await import("../main.ts");
} else {
  await import("../cli/berth.ts");
}
