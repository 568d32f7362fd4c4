export * from "../../src/dev/test-image.ts";
