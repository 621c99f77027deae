import { beforeEach, expect, it, vi } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { generateEncryptionKey, KeyRing } from '../../src/secrets/keyring.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { SnapshotCache } from '../../src/teams/records/snapshot-cache.ts';
import { encode, newRecord, recordKey } from '../../src/teams/records/team-record.ts';

let now: number;
let reads: number;
let broken: boolean;
let hanging: boolean;
let inner: Storage;
let snapshots: SnapshotCache;

beforeEach(async () => {
  now = 0;
  reads = 0;
  broken = false;
  hanging = false;
  inner = memoryStorage();
  const storage: Storage = {
    ...inner,
    get: async (key, options) => {
      reads++;
      if (broken) throw new RouterError('storage_unavailable', 'It is out of reach.');
      if (hanging) return new Promise(() => {});
      return inner.get(key, options);
    },
  };
  const ring = new KeyRing([generateEncryptionKey()]);
  snapshots = new SnapshotCache(storage, ring, {
    maxStalenessMs: 1_000,
    serveStaleMs: 5_000,
    maxTeams: 10,
    now: () => now,
  });
  await write(false);
});

async function write(blocked: boolean): Promise<void> {
  const key = recordKey('acme');
  const record = { ...newRecord('acme', new Date(0).toISOString(), 'test'), blocked };
  const stored = await inner.get(key);
  const version = stored === undefined || stored === 'unchanged' ? null : stored.version;
  await inner.put(key, encode(record), version);
}

const blocked = async () => (await snapshots.get('acme'))?.blocked;

it('reads once, however many ask at the same time', async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => snapshots.get('acme')));
  expect(new Set(answers).size).toBe(1);
  expect(reads).toBe(1);
});

it('no id of a team is the shared deployments, not even an empty one', async () => {
  const shared = newRecord(null, new Date(0).toISOString(), 'test');
  await inner.put(recordKey(null), encode(shared), null);
  expect((await snapshots.get(null))?.teamId).toBeNull();
  for (const teamId of ['', 'shared', 'Symbol(shared)']) expect(await snapshots.get(teamId)).toBeUndefined();
  snapshots.onStorageEvent({ key: recordKey('') });
  expect(snapshots.get(null)).not.toBeInstanceOf(Promise);
});

it('returns a fresh snapshot synchronously', async () => {
  await blocked();
  expect(snapshots.get('acme')).not.toBeInstanceOf(Promise);
  expect(reads).toBe(1);
});

it('never shows what is older than its bound', async () => {
  expect(await blocked()).toBe(false);
  await write(true);
  now = 1_000;
  expect(await blocked()).toBe(true);
});

it('refreshes behind the back of its caller from half of its age on', async () => {
  await blocked();
  await write(true);
  now = 500;
  for (let call = 0; call < 10; call++) expect(await blocked()).toBe(false);
  expect(reads).toBe(1);
  await vi.waitFor(async () => expect(await blocked()).toBe(true));
  expect(reads).toBe(2);
});

it('reads again after its own write, and after an event of another process', async () => {
  await blocked();
  await write(true);
  snapshots.invalidate('acme');
  expect(await blocked()).toBe(true);
  await write(false);
  snapshots.onStorageEvent({ key: recordKey('acme') });
  expect(await blocked()).toBe(false);
  await write(true);
  snapshots.onStorageEvent({ reset: true });
  expect(await blocked()).toBe(true);
});

it('keeps a record that was written only if no snapshot can be newer', async () => {
  await blocked();
  const key = recordKey('acme');
  const ours = encode({ ...newRecord('acme', new Date(0).toISOString(), 'test'), blocked: true });
  const before = await inner.get(key);
  const replaced = typeof before === 'object' ? before.version : null;
  const version = (await inner.put(key, ours, replaced)) ?? '';
  const written = { text: ours, version, replaced, startedAt: now };
  snapshots.keepWritten('acme', written);
  expect(await blocked()).toBe(true);
  // Another process unblocks the team, and this one reads it before its own write is acknowledged.
  await write(false);
  snapshots.markStale('acme');
  expect(await blocked()).toBe(false);
  snapshots.keepWritten('acme', written);
  broken = true;
  await expect(blocked()).rejects.toMatchObject({ code: 'storage_unavailable' });
});

it('served a deleted team in an outage: does not keep a record if a later read found none', async () => {
  await inner.delete(
    recordKey('acme'),
    ((await inner.get(recordKey('acme'))) as { version: string }).version,
  );
  now = 10;
  expect(await snapshots.get('acme')).toBeUndefined();
  const text = encode(newRecord('acme', new Date(0).toISOString(), 'test'));
  snapshots.keepWritten('acme', { text, version: 'late', replaced: null, startedAt: 5 });
  broken = true;
  await expect(snapshots.get('acme')).rejects.toMatchObject({ code: 'storage_unavailable' });
});

it('does not keep what a read that began before the write brings back', async () => {
  const late = snapshots.get('acme');
  await write(true);
  snapshots.invalidate('acme');
  await late;
  expect(await blocked()).toBe(true);
});

it('serves what it knows through an outage, up to its limit, and nothing it does not know', async () => {
  await blocked();
  broken = true;
  now = 4_999;
  expect(await blocked()).toBe(false);
  await expect(snapshots.get('globex')).rejects.toMatchObject({ code: 'storage_unavailable' });
  now = 5_000;
  await expect(blocked()).rejects.toMatchObject({ code: 'storage_unavailable' });
  broken = false;
  expect(await blocked()).toBe(false);
});

it('serves a team through an outage though there is no record of shared deployments: its own calls failed', async () => {
  await blocked();
  expect(await snapshots.get(null)).toBeUndefined();
  broken = true;
  now = 4_999;
  expect(await snapshots.get(null)).toBeUndefined();
  expect(snapshots.storageUnreachable).toBe(true);
  now = 5_000;
  await expect(snapshots.get(null)).rejects.toMatchObject({ code: 'storage_unavailable' });
});

it('does not let every call wait for a storage that is known to hang', async () => {
  await blocked();
  now = 1_000;
  broken = true;
  expect(await blocked()).toBe(false);
  broken = false;
  hanging = true;
  expect(await blocked()).toBe(false);
});

it('shows no stale team once a storage that was out of reach answers again', async () => {
  await blocked();
  now = 1_000;
  broken = true;
  expect(await blocked()).toBe(false);
  await write(true);
  broken = false;
  expect(await blocked()).toBe(true);
});

it('keeps existing teams when callers request others', async () => {
  await blocked();
  for (let index = 0; index < 100; index++) expect(await snapshots.get(`nobody-${index}`)).toBeUndefined();
  const before = reads;
  await blocked();
  expect(reads).toBe(before);
});
