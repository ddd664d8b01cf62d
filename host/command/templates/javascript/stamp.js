// Writes name, version, description and licence into a component: stamp.js FILE. They come from package.json.

import { appendFileSync, readFileSync } from "node:fs";

/** An unsigned number as WebAssembly writes it (LEB128). */
function number(value) {
  return value < 0x80 ? Buffer.from([value]) : Buffer.concat([Buffer.from([(value & 0x7f) | 0x80]), number(value >>> 7)]);
}

const text = (value) => Buffer.concat([number(Buffer.byteLength(value)), Buffer.from(value)]);
const sized = (content) => Buffer.concat([number(content.length), content]);

function section(name, content) {
  return Buffer.concat([Buffer.from([0]), sized(Buffer.concat([text(name), content]))]);
}

const about = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));
const name = Buffer.concat([Buffer.from([0]), sized(text(about.lockkeeper.name))]);
const stamps = [section("component-name", name)];
for (const [key, value] of [["version", about.version], ["description", about.description], ["licenses", about.license]]) {
  stamps.push(section(key, Buffer.from(value)));
}
appendFileSync(process.argv[2], Buffer.concat(stamps));
