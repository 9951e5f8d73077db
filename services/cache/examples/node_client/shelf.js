// One cache of CacheService, seen from Node. Stubs are generated from the contracts, as the README beside says.
//
//   node shelf.js put eur/usd '{"bytes": "1.08", "tags": ["fx"], "metadata": {"source": "ecb"}}'
//   node shelf.js get eur/usd
//
// The command line takes the address from CACHE_ADDRESS, the cache from CACHE, and a token from CACHE_TOKEN.
import { pathToFileURL } from 'node:url';
import { fromJson, toJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ErrorInfoSchema } from './stubs/google/rpc/error_details_pb.js';
import { CacheService, EntrySchema } from './stubs/sutler/cache/v1/cache_pb.js';

const CHUNK = 1024 * 1024;

export class Shelf {
  constructor(address, cache, token = '') {
    const authorize = (next) => (request) => {
      if (token) request.header.set('authorization', `Bearer ${token}`);
      return next(request);
    };
    const transport = createGrpcTransport({ baseUrl: `http://${address}`, interceptors: [authorize] });
    this.cache = cache;
    this.client = createClient(CacheService, transport);
  }

  // Puts one of bytes (or text), json and counter; the rest are fields of the entry: tags, metadata, contentType, …
  put(key, { bytes, json, counter, ...fields }) {
    const value = json !== undefined ? { case: 'jsonValue', value: fromJson(ValueSchema, json) }
      : counter !== undefined ? { case: 'counterValue', value: BigInt(counter) }
        : { case: 'inlineValue', value: Buffer.from(bytes) };
    return this.client.putEntry({ cache: this.cache, key, entry: { ...fields, value } });
  }

  get(key) {
    return this.client.getEntry({ cache: this.cache, key });
  }

  add(key, delta) {
    return this.client.incrementEntry({ cache: this.cache, key, delta: BigInt(delta) });
  }

  // Writes a value of any size, in chunks; the entry appears when all of it is there
  write(key, bytes, fields = {}) {
    const { cache } = this;
    return this.client.writeBlob((async function* parts() {
      yield { part: { case: 'header', value: { cache, key, entry: fields } } };
      for (let at = 0; at < bytes.length; at += CHUNK) {
        yield { part: { case: 'data', value: bytes.subarray(at, at + CHUNK) } };
      }
      yield { part: { case: 'trailer', value: { sizeBytes: BigInt(bytes.length) } } };
    })());
  }

  async read(key) {
    const chunks = [];
    let complete = false;
    for await (const message of this.client.readBlob({ cache: this.cache, key })) {
      chunks.push(message.data);
      complete = message.complete;
    }
    if (!complete) throw new Error('the stream ended before the value did');
    return Buffer.concat(chunks);
  }

  async *list(options = {}) {
    let pageToken = '';
    do {
      const page = await this.client.listEntries({ ...options, cache: this.cache, pageToken });
      yield* page.entries;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  async invalidate(what) {
    return (await this.client.invalidateEntries({ ...what, cache: this.cache })).invalidatedCount;
  }
}

// What went wrong, by the name that the contract gives it, such as ENTRY_NOT_FOUND
export function reason(error) {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? 'UNKNOWN';
}

const shown = (entry) => toJson(EntrySchema, entry);
const input = async () => Buffer.concat(await process.stdin.toArray());
const commands = {
  put: async (shelf, key, entry) => shown(await shelf.put(key, JSON.parse(entry))),
  get: async (shelf, key) => shown(await shelf.get(key)),
  add: async (shelf, key, delta) => shown(await shelf.add(key, delta)),
  write: async (shelf, key, fields = '{}') => shown(await shelf.write(key, await input(), JSON.parse(fields))),
  read: async (shelf, key) => (await shelf.read(key)).toString('base64'),
  list: async (shelf, options = '{}') => {
    const entries = [];
    for await (const entry of shelf.list(JSON.parse(options))) entries.push(shown(entry));
    return entries;
  },
  invalidate: async (shelf, what) => Number(await shelf.invalidate(JSON.parse(what))),
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { CACHE_ADDRESS = '127.0.0.1:50052', CACHE = 'caches/default', CACHE_TOKEN } = process.env;
  const [command, ...rest] = process.argv.slice(2);
  try {
    console.log(JSON.stringify(await commands[command](new Shelf(CACHE_ADDRESS, CACHE, CACHE_TOKEN), ...rest)));
  } catch (error) {
    console.error(error instanceof ConnectError ? reason(error) : error);
    process.exitCode = 1;
  }
}
