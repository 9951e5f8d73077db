// A ResourceHandler in Node: each resource of its type is a web site, a folder of pages below SITES.
//
// SITES_PORT, SITES_DESCRIPTORS (the contracts) and SITES_SECRET (the services' auth_secret; without it anybody on
// this machine may call) come from the environment. Of each site a file `site.json` remembers the key and the fencing
// token of the last call, and what is done, so that a call that comes again goes on where it was.
'use strict';
const crypto = require('crypto');
const fs = require('fs/promises');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const MADE = path.join(__dirname, '../../../../.build/sutler.binpb'); // in a checkout, by `make gen`
const { SITES = 'sites', SITES_PORT = '50061', SITES_DESCRIPTORS = MADE, SITES_SECRET } = process.env;
const MAX_PAGES = 50;
const { ABORTED, UNAUTHENTICATED, UNAVAILABLE, UNIMPLEMENTED } = grpc.status;

class Failure extends Error {
  constructor(code, reason, message) {
    super(message);
    Object.assign(this, { code, reason });
  }
}

// google.protobuf.Struct to plain data and back; a descriptor set shows maps as lists of key and value
const plain = (struct) => Object.fromEntries((struct?.fields ?? []).map((field) => [field.key, value(field.value)]));
const value = (v) => ({
  struct_value: () => plain(v.struct_value), list_value: () => v.list_value.values.map(value), null_value: () => null,
}[v.kind] ?? (() => v[v.kind]))();
const struct = (data) => ({ fields: Object.entries(data).map(([key, v]) => ({ key, value: packed(v) })) });
const packed = (v) => (typeof v === 'number' ? { number_value: v } : { string_value: String(v) });

// Tokens: only ResourceService may call, and with a token that it signed with the secret shared by the services
function authenticate(metadata) {
  if (!SITES_SECRET) return;
  const [head, body, signature] = String(metadata.get('authorization')[0] ?? '').replace(/^Bearer /i, '').split('.');
  const right = crypto.createHmac('sha256', SITES_SECRET).update(`${head}.${body}`).digest();
  const given = Buffer.from(signature ?? '', 'base64url');
  const signed = given.length === right.length && crypto.timingSafeEqual(given, right);
  const claims = signed ? JSON.parse(Buffer.from(body, 'base64url')) : {};
  if (!claims.service || claims.sub !== 'service:resource' || claims.exp < Date.now() / 1000) {
    throw new Failure(UNAUTHENTICATED, 'CREDENTIALS_INVALID', 'the token is not that of ResourceService');
  }
}

// Sites on disk
const folder = (resource) => path.join(SITES, resource.uid);
const page = (resource, n) => path.join(folder(resource), `page-${n}.html`);
const same = (done, wish) => Boolean(done && wish) && done.title === wish.title && done.pages === wish.pages;
async function remembered(resource) {
  try {
    return JSON.parse(await fs.readFile(path.join(folder(resource), 'site.json')));
  } catch (error) {
    if (error.code === 'ENOENT') return { fence: 0, visits: 0 };
    throw error;
  }
}
async function remember(resource, site) {
  const file = path.join(folder(resource), 'site.json');
  await fs.writeFile(`${file}.${site.fence}`, JSON.stringify(site));
  await fs.rename(`${file}.${site.fence}`, file);
}
function checkFence(site, context) {
  if (site.fence > Number(context.fencing_token)) throw new Failure(ABORTED, 'LEASE_LOST', 'a later call works on it');
  return Number(context.fencing_token);
}
const outputs = (site) => struct({ pages: site.done.pages, visits: site.visits });

const handler = {
  async Validate({ action, desired }) {
    const wish = plain(desired.properties);
    const violations = [];
    const refuse = (field, description, reason) => violations.push({ field, description, reason });
    if (action && action !== 'visit') refuse('action', 'only visit is known', 'ACTION_UNKNOWN');
    if (!wish.title || /[<>&]/.test(wish.title)) refuse('properties.title', 'must hold no markup', 'MARKUP');
    if (!(wish.pages >= 1 && wish.pages <= MAX_PAGES)) refuse('properties.pages', `1 to ${MAX_PAGES}`, 'RANGE');
    return { violations, plan: [{ action: 'ACTION_CREATE', target: 'pages', count: wish.pages || 0 }] };
  },
  async Apply({ context, idempotency_key: key, desired }, call) {
    const { title, pages } = plain(desired.properties);
    await fs.mkdir(folder(desired), { recursive: true });
    let site = await remembered(desired);
    const fence = checkFence(site, context);
    const begun = site.key === key; // an earlier attempt: its pages stay
    site = { ...site, key, fence, done: begun ? site.done : undefined };
    await remember(desired, site);
    for (let n = 1; n <= pages && !site.done; n += 1) {
      if (call.cancelled) return undefined;
      checkFence(await remembered(desired), context);
      await fs.writeFile(page(desired, n), `<!doctype html><title>${title}</title><h1>${n} of ${pages}</h1>\n`);
      call.write({ progress: { progress_percent: Math.floor((100 * n) / pages), step: `page ${n} of ${pages}` } });
      await new Promise((next) => setTimeout(next, Number(process.env.SITES_PAUSE ?? 0)));
    }
    const rest = (await fs.readdir(folder(desired))).filter((file) => Number(/^page-(\d+)/.exec(file)?.[1]) > pages);
    await Promise.all(rest.map((file) => fs.rm(path.join(folder(desired), file))));
    site.done = { title, pages };
    await remember(desired, site);
    return { outputs: outputs(site) };
  },
  async Delete({ context, resource }) {
    checkFence(await remembered(resource), context);
    await fs.rm(folder(resource), { recursive: true, force: true });
    return {};
  },
  async Read({ desired, previous }) {
    const site = await remembered(desired);
    if (same(site.done, plain(desired.properties))) return { presence: 'PRESENCE_WHOLE', outputs: outputs(site) };
    const unchanged = !site.key || (previous && same(site.done, plain(previous.properties)));
    return { presence: unchanged ? 'PRESENCE_ABSENT' : 'PRESENCE_PARTIAL', description: 'some of its pages' };
  },
  async InvokeAction({ context, idempotency_key: key, resource, action }) {
    if (action !== 'visit') throw new Failure(UNIMPLEMENTED, 'NOT_IMPLEMENTED', `there is no action ${action}`);
    const site = await remembered(resource);
    site.fence = checkFence(site, context);
    if (site.visited !== key) Object.assign(site, { visits: site.visits + 1, visited: key });
    await remember(resource, site);
    return { result: struct({ visits: site.visits }), outputs: outputs(site) };
  },
};

// The wire: what a method returns is its answer or the stream's last message, and what it throws a status with details
const contracts = loader.loadFileDescriptorSetFromBuffer(require('fs').readFileSync(SITES_DESCRIPTORS), {
  longs: String, enums: String, oneofs: true, arrays: true,
});
const any = (type, data) => ({ type_url: `type.googleapis.com/${type}`, value: contracts[type].serialize(data) });
function status(error) {
  const known = error instanceof Failure ? error
    : new Failure(UNAVAILABLE, 'DEPENDENCY_UNAVAILABLE', 'the sites cannot be reached now');
  if (known !== error) console.error(error);
  const info = any('google.rpc.ErrorInfo', { reason: known.reason, domain: 'sites.example.org' });
  return { code: known.code, message: known.message, details: [info] };
}
const unary = (method) => (call, done) => Promise.resolve()
  .then(() => authenticate(call.metadata)).then(() => method(call.request, call)).then((answer) => done(null, answer))
  .catch((error) => done({ code: status(error).code, details: status(error).message }));
const stream = (method) => (call) => Promise.resolve()
  .then(() => authenticate(call.metadata)).then(() => method(call.request, call))
  .then((result) => call.write({ result })).catch((error) => call.write({ failure: { error: status(error) } }))
  .finally(() => call.end());

const server = new grpc.Server();
const kinds = { Validate: unary, Read: unary, Apply: stream, Delete: stream, InvokeAction: stream };
const methods = Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, kind(handler[name])]));
server.addService(contracts['sutler.resource.v1.ResourceHandler'], methods);
server.bindAsync(`127.0.0.1:${SITES_PORT}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on 127.0.0.1:${port}`);
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
