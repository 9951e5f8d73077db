// A ProviderPlugin in Node: the type `sheds`, whose machines are folders below SHEDS, each with a file `shed.json`.
//
// SHEDS_PORT and SHEDS_SECRET (the services' auth_secret; without it anybody on this machine may call) come from the
// environment. The id of a machine follows from the call's key: a call that comes again finds what it made before.
'use strict';
const crypto = require('crypto');
const fs = require('fs/promises');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const MADE = path.join(__dirname, '../../../../.build/sutler.binpb'); // in a checkout, by `make gen`
const { SHEDS = 'sheds', SHEDS_PORT = '50062', SHEDS_DESCRIPTORS = MADE, SHEDS_SECRET } = process.env;
const { INVALID_ARGUMENT, UNAUTHENTICATED, UNAVAILABLE } = grpc.status;
const [RUNNING, TERMINATED] = ['STATE_RUNNING', 'STATE_TERMINATED'];
const DEFAULTS = { enabled: true, room: 100 };
const FIELDS = { enabled: { type: 'boolean', default: true }, room: { type: 'integer', minimum: 0, default: 100 } };
const SCHEMA = { type: 'object', properties: FIELDS, additionalProperties: false };
const failure = (code, reason, message, violations = []) =>
  Object.assign(new Error(message), { code, reason, violations });

// google.protobuf.Struct to plain data and back; a descriptor set shows maps as lists of key and value
const plain = (struct) => Object.fromEntries((struct?.fields ?? []).map(({ key, value }) => [key, value[value.kind]]));
const struct = (data) => ({ fields: Object.entries(data).map(([key, v]) => ({ key, value: packed(v) })) });
const packed = (v) => (typeof v === 'object' ? { struct_value: struct(v) }
  : { [{ number: 'number_value', boolean: 'bool_value' }[typeof v] ?? 'string_value']: v });

// Tokens: only ProviderService may call, and with a token that it signed with the secret shared by the services
function authenticate(metadata) {
  if (!SHEDS_SECRET) return;
  const [head, body, signature] = String(metadata.get('authorization')[0] ?? '').replace(/^Bearer /i, '').split('.');
  const right = crypto.createHmac('sha256', SHEDS_SECRET).update(`${head}.${body}`).digest();
  const given = Buffer.from(signature ?? '', 'base64url');
  const signed = given.length === right.length && crypto.timingSafeEqual(given, right);
  const claims = signed ? JSON.parse(Buffer.from(body, 'base64url')) : {};
  if (!claims.service || claims.sub !== 'service:provider' || claims.exp < Date.now() / 1000) {
    throw failure(UNAUTHENTICATED, 'CREDENTIALS_INVALID', 'the token is not that of ProviderService');
  }
}

// Configs: ProviderService has checked them; who calls past it is told here
const wrong = (config) => Object.entries(config)
  .filter(([name, v]) => typeof v !== typeof DEFAULTS[name] || v < 0)
  .map(([name]) => ({ field: `config.${name}`, description: 'does not fit the schema', reason: 'SCHEMA' }));
function configOf(call) {
  const violations = wrong(plain(call.config));
  if (violations.length) throw failure(INVALID_ARGUMENT, 'CONFIG_INVALID', 'the config is wrong', violations);
  return { ...DEFAULTS, ...plain(call.config) };
}

// Sheds on disk, those of each tenant and provider in a folder of their own
const hash = (text) => crypto.createHash('sha256').update(text).digest('hex').slice(0, 32);
const yard = (call) => path.join(SHEDS, hash(`${call.tenant} ${call.provider}`));
const file = (call, id) => path.join(yard(call), path.basename(id), 'shed.json');
const unlessMissing = (instead) => (error) => (error.code === 'ENOENT' ? instead : Promise.reject(error));
const look = (call, id) => fs.readFile(file(call, id)).then(JSON.parse, unlessMissing(undefined));
const ids = async (call) => (await fs.readdir(yard(call)).catch(unlessMissing([]))).sort();
const all = async (call) => (await Promise.all((await ids(call)).map((id) => look(call, id)))).filter(Boolean);
async function keep(call, shed) {
  const target = file(call, shed.native_id);
  await fs.mkdir(path.dirname(target), { recursive: true });
  const fresh = `${target}.${crypto.randomUUID()}`; // a call may come twice at once
  await fs.writeFile(fresh, JSON.stringify(shed));
  await fs.rename(fresh, target);
  return shed;
}
const move = (wanted) => async ({ call, machines }) => {
  configOf(call);
  const results = machines.map(async ({ native_id: id }) => {
    const shed = await look(call, id);
    const state = shed && shed.state !== TERMINATED ? wanted : TERMINATED;
    if (shed) await keep(call, { ...shed, state });
    return { native_id: id, state };
  });
  return { results: await Promise.all(results) };
};
const plugin = {
  async Describe({ call }) {
    if (call.config) configOf(call);
    const abilities = ['START_STOP', 'CLIENT_TOKEN', 'SELECTIVE_RETURN', 'TAGS'].map((name) => `CAPABILITY_${name}`);
    const facts = { type: 'sheds', display_name: 'Sheds', version: '1', config_schema: struct(SCHEMA) };
    return { provider_type: { ...facts, apis: [{ api: 'build', capabilities: abilities }] } };
  },
  async Validate({ call, template }) {
    const heavy = { field: 'template.image', description: 'is too heavy', reason: 'HEAVY' };
    const violations = [...wrong(plain(call.config)), ...(template?.image === 'stone' ? [heavy] : [])];
    return { violations, effective_template: template };
  },
  async Provision({ call, template, count, tags }, stream) {
    const { room, enabled } = configOf(call);
    let made = 0;
    for (let n = 0; n < count && !stream.cancelled; n += 1) {
      const id = `shed-${hash(`${call.idempotency_key} ${n}`)}`;
      let shed = await look(call, id); // of an earlier attempt
      const taken = shed ? 0 : (await all(call)).filter(({ state }) => state !== TERMINATED).length;
      const fresh = { native_id: id, state: RUNNING, image: template.image, region: call.region, tags };
      if (!shed && enabled && taken < room) shed = await keep(call, fresh);
      if (shed) stream.write({ machines: [shed], progress_percent: Math.floor((100 * (made += 1)) / count) });
    }
    const full = { category: 'CATEGORY_CAPACITY', kind: 'KIND_CAPACITY', code: 'FULL', summary: 'no room is left' };
    const state = { [count]: 'STATE_FULFILLED', 0: 'STATE_FAILED' }[made] ?? 'STATE_PARTIAL';
    const diagnostics = made < count ? [full] : [];
    stream.write({ verdict: { fulfilled_units: made, running_count: made, state, diagnostics } });
  },
  Terminate: move(TERMINATED),
  Start: move(RUNNING),
  Stop: move('STATE_STOPPED'),
  async List({ call, tags, machines, page_size: size, page_token: after }) {
    configOf(call);
    const has = (shed, { key, value }) => shed.tags.some((tag) => tag.key === key && tag.value === value);
    const asked = (shed) => !machines.length || machines.some(({ native_id: id }) => id === shed.native_id);
    const fits = (shed) => shed.native_id > after && asked(shed) && tags.every((tag) => has(shed, tag));
    const rest = (await all(call)).filter(fits);
    const page = rest.splice(0, Math.min(size || 50, 1000));
    return { machines: page, next_page_token: rest.length ? page.at(-1).native_id : '' };
  },
  async Check({ call }) {
    configOf(call);
    return { state: 'STATE_HEALTHY', identity: `process ${process.pid}` };
  },
};

// The wire: what a method returns is its answer, and what it throws a status with details
const shapes = { longs: String, enums: String, oneofs: true, arrays: true, defaults: true };
const contracts = loader.loadFileDescriptorSetFromBuffer(require('fs').readFileSync(SHEDS_DESCRIPTORS), shapes);
const bytes = (type, data) => contracts[type].serialize(data);
const any = (type, data) => ({ type_url: `type.googleapis.com/${type}`, value: bytes(type, data) });
function refusal(error) {
  if (!error.reason) console.error(error);
  const down = failure(UNAVAILABLE, 'DEPENDENCY_UNAVAILABLE', 'the sheds cannot be reached now');
  const { code, message, reason, violations } = error.reason ? error : down;
  const details = [any('google.rpc.ErrorInfo', { reason, domain: 'provider.sutler.dev' })];
  if (violations.length) details.push(any('google.rpc.BadRequest', { field_violations: violations }));
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin', bytes('google.rpc.Status', { code, message, details }));
  return { code, details: message, metadata };
}
const ask = async (method, call) => authenticate(call.metadata) ?? method(call.request, call);
const unary = (method) => (call, done) => ask(method, call).then((said) => done(null, said), (e) => done(refusal(e)));
const stream = (method) => (call) => ask(method, call).then(() => call.end(), (e) => call.emit('error', refusal(e)));

const server = new grpc.Server();
const methods = Object.entries(plugin).map(([name, method]) => [name, (name === 'Provision' ? stream : unary)(method)]);
server.addService(contracts['sutler.provider.v1.ProviderPlugin'], Object.fromEntries(methods));
server.bindAsync(`127.0.0.1:${SHEDS_PORT}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on 127.0.0.1:${port}`);
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
