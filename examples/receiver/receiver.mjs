// A receiver for Node.js 18 or newer, without packages: verify, store, answer.
//   node receiver.mjs SECRETS.json EVENTS.jsonl PORT
// SECRETS.json has the fields of the webhook's Vault document: the Vault Agent writes it (vault-agent.hcl).
import { createHmac, timingSafeEqual } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const [secretsFile, eventsFile, port] = process.argv.slice(2);
const BODY_MAX = 1024 * 1024;

// --- secrets ---------------------------------------------------------------------------------------------

let secrets = [];
let readAt = -Infinity;

// The current secret, the pending and the previous ones: all of them sign while a secret is being replaced.
function candidateSecrets(fields) {
  let previous = {};
  try {
    previous = JSON.parse(fields.previous_signing_secrets ?? "{}");
  } catch {}
  return [
    fields.signing_secret,
    fields.pending_signing_secret,
    fields.previous_signing_secret,
    ...Object.values(previous ?? {}),
  ].filter((secret) => typeof secret === "string" && secret !== "");
}

function readSecrets() {
  readAt = Date.now();
  try {
    secrets = candidateSecrets(JSON.parse(readFileSync(secretsFile, "utf8")));
  } catch (error) {
    console.error(`secrets not read, those read before stay in use: ${error.code ?? error.name}`);
  }
}

function matches(body, signature) {
  const given = Buffer.from(signature ?? "", "latin1");
  let verified = false;
  for (const secret of secrets) {
    const right = Buffer.from(createHmac("sha256", secret).update(body).digest("hex"), "latin1");
    verified = (given.length === right.length && timingSafeEqual(given, right)) || verified;
  }
  return verified;
}

// Anybody can send a wrong signature, so the secrets are read again once a second at most.
function verify(body, signature) {
  if (matches(body, signature)) return true;
  if (Date.now() - readAt < 1000) return false;
  readSecrets();
  return matches(body, signature);
}

// --- events ----------------------------------------------------------------------------------------------

const events = openSync(eventsFile, "a+", 0o600);
const known = new Set(
  existsSync(eventsFile)
    ? readFileSync(eventsFile, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line).id)
    : [],
);

// Replace this by your queue. It must be durable before the answer, and an event can be delivered again.
function store(event) {
  if (known.has(event.id)) return;
  writeSync(events, JSON.stringify(event) + "\n");
  fsyncSync(events);
  known.add(event.id);
}

// --- requests --------------------------------------------------------------------------------------------

async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function receive(request) {
  if (request.method !== "POST") return 405;
  if (Number(request.headers["content-length"] ?? 0) > BODY_MAX) return 413;
  // The raw bytes: a body that was parsed and written again has another signature.
  const body = await readBody(request);
  if (body === null) return 413;
  if (!verify(body, request.headers["x-zof-signature"])) return 401;
  let event;
  try {
    event = JSON.parse(body.toString("utf8"));
  } catch {
    return 400;
  }
  if (typeof event?.id !== "string" || typeof event?.type !== "string") return 400;
  try {
    store(event);
  } catch (error) {
    console.error(`event not stored: ${error.code ?? error.name}`);
    return 503;
  }
  return 200;
}

const server = createServer({ headersTimeout: 5000, requestTimeout: 10000 }, async (request, response) => {
  let status;
  try {
    status = await receive(request);
  } catch {
    return; // the sender has disconnected
  }
  response.writeHead(status, status === 413 ? { connection: "close" } : {}).end();
});
readSecrets();
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => {
  server.close();
  server.closeIdleConnections();
  closeSync(events);
});
